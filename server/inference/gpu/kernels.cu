// Pixels to network inputs on the GPU, as server/vision/preprocess.py and server/vision/align.py do it on the CPU.
//
// Images are (H, W, 3) uint8 BGR without padding between rows; inputs are (N, 3, H, W) float32, (value - mean) / std,
// in the network's colour order. Values are rounded to whole grey levels where the CPU rounds them.

struct Pixels {
    float mean[3];  // of the input's channels, in their order
    float std[3];
    int swap;       // 1: the input's first channel is red
};

// The mean over the rectangle [x0, x1) x [y0, y1) of the image, its edge pixels weighted by how much of them lies inside:
// area averaging, as cv2.INTER_AREA. Rounded to grey levels, halves up, as cv2 does when it halves a picture.
__device__ void area_mean(const unsigned char *image, int width, int height, float x0, float x1, float y0, float y1,
                          float *mean) {
    float sum[3] = {0.0f, 0.0f, 0.0f};
    float weights = 0.0f;
    int first_x = max(0, (int)floorf(x0 + 1e-3f)), last_x = min(width - 1, (int)ceilf(x1 - 1e-3f) - 1);
    int first_y = max(0, (int)floorf(y0 + 1e-3f)), last_y = min(height - 1, (int)ceilf(y1 - 1e-3f) - 1);
    for (int y = first_y; y <= last_y; ++y) {
        float down = fminf(y1, y + 1.0f) - fmaxf(y0, (float)y);
        for (int x = first_x; x <= last_x; ++x) {
            float weight = down * (fminf(x1, x + 1.0f) - fmaxf(x0, (float)x));
            const unsigned char *pixel = image + ((size_t)y * width + x) * 3;
            sum[0] += weight * pixel[0];
            sum[1] += weight * pixel[1];
            sum[2] += weight * pixel[2];
            weights += weight;
        }
    }
    for (int channel = 0; channel < 3; ++channel)
        mean[channel] = weights > 0.0f ? floorf(sum[channel] / weights + 0.5f) : 0.0f;
}

__device__ void put(float *input, size_t plane, size_t place, const float *bgr, const Pixels &pixels) {
    for (int channel = 0; channel < 3; ++channel) {
        float value = bgr[pixels.swap ? 2 - channel : channel];
        input[channel * plane + place] = (value - pixels.mean[channel]) / pixels.std[channel];
    }
}

// The image shrunk to inner_width x inner_height in the top left of the input, black (value 0) around it: means over the
// cells of a grid, which is the image or what is left of it after halving, and bilinear between them, edges repeated.
extern "C" __global__ void letterbox(const unsigned char *image, int width, int height, float *input, int input_width,
                                     int input_height, int inner_width, int inner_height, int grid_width,
                                     int grid_height, Pixels pixels) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= input_width || y >= input_height) return;
    float bgr[3] = {0.0f, 0.0f, 0.0f};
    if (x < inner_width && y < inner_height) {
        float u = (x + 0.5f) * grid_width / inner_width - 0.5f, v = (y + 0.5f) * grid_height / inner_height - 0.5f;
        float left = floorf(u), top = floorf(v), right_share = u - left, bottom_share = v - top;
        float across = (float)width / grid_width, down = (float)height / grid_height;
        for (int tap = 0; tap < 4; ++tap) {
            float weight = ((tap & 1) ? right_share : 1.0f - right_share) * ((tap >> 1) ? bottom_share : 1.0f - bottom_share);
            if (weight <= 0.0f) continue;
            int column = min(max((int)left + (tap & 1), 0), grid_width - 1);
            int row = min(max((int)top + (tap >> 1), 0), grid_height - 1);
            float mean[3];
            area_mean(image, width, height, column * across, (column + 1) * across, row * down, (row + 1) * down, mean);
            for (int channel = 0; channel < 3; ++channel) bgr[channel] += weight * mean[channel];
        }
        for (int channel = 0; channel < 3; ++channel) bgr[channel] = rintf(bgr[channel]);
    }
    put(input, (size_t)input_width * input_height, (size_t)y * input_width + x, bgr, pixels);
}

// Crops by similarity transforms, one for each z. A row of `samplings` holds 12 values: the matrix that takes a crop's
// pixel to a grid (a, b, c, d, e, f: u = a x + b y + c, v = d x + e y + f), the grid's origin in the image (x, y), the
// step from one of its points to the next (x, y), and its size (width, height). Grid values are means over a step's
// rectangle, between them it is bilinear, outside of the grid black.
extern "C" __global__ void warp(const unsigned char *image, int width, int height, const float *samplings, float *input,
                                int crop_width, int crop_height, Pixels pixels) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= crop_width || y >= crop_height) return;
    const float *s = samplings + (size_t)blockIdx.z * 12;
    float u = s[0] * x + s[1] * y + s[2], v = s[3] * x + s[4] * y + s[5];
    float left = floorf(u), top = floorf(v), right_share = u - left, bottom_share = v - top;
    float bgr[3] = {0.0f, 0.0f, 0.0f};
    for (int tap = 0; tap < 4; ++tap) {
        float column = left + (tap & 1), row = top + (tap >> 1);
        float weight = ((tap & 1) ? right_share : 1.0f - right_share) * ((tap >> 1) ? bottom_share : 1.0f - bottom_share);
        if (weight <= 0.0f || column < 0.0f || row < 0.0f || column >= s[10] || row >= s[11]) continue;
        float mean[3], x0 = s[6] + column * s[8], y0 = s[7] + row * s[9];
        area_mean(image, width, height, x0, x0 + s[8], y0, y0 + s[9], mean);
        for (int channel = 0; channel < 3; ++channel) bgr[channel] += weight * mean[channel];
    }
    for (int channel = 0; channel < 3; ++channel) bgr[channel] = rintf(bgr[channel]);
    size_t plane = (size_t)crop_width * crop_height;
    put(input + blockIdx.z * 3 * plane, plane, (size_t)y * crop_width + x, bgr, pixels);
}
