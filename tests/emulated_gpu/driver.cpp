// libcuda.so.1 for a GPU that is none: NVIDIA's driver API (cuda.h, which declares what is defined here) on the host.
//
// As strict as the real one, or stricter, in what a caller can get wrong:
// - Work in a stream is done as late as it may be: when somebody waits for it. FACESTREAM_EMULATED_SCHEDULE=N, a seed,
//   has random streams go on in between instead. What is not waited for has not happened.
// - Addresses of the device can't be read by the host; before and behind an allocation lie pages that nobody can touch,
//   behind it after 255 bytes at most.
// - Memory is looked up when it is copied, not when the copy is asked for: freed memory is an illegal address.
// - Copies take page-locked memory only. Fresh and freed memory is spoilt.
// - A thread without a context gets CUDA_ERROR_INVALID_CONTEXT; after an illegal address nothing works any more.
// - While a stream is captured, its thread may neither allocate, free nor wait, and the capture is spoilt if it tries. A
//   wait for the whole device, by any thread, spoils every capture and fails.
// - A stream that is destroyed goes on with what it was given, as late as it may.
// - FACESTREAM_EMULATED_LOSS=N: after N pieces of work the device is lost, by an illegal address.
//
// Kernels are functions of the library FACESTREAM_EMULATED_KERNELS (tests/host_kernels.py), whatever image is loaded.
// Functions of the driver that we don't use are missing; pycuda's are made by tests/emulated_gpu/build.py and refuse.

#include <cuda.h>
#include <dlfcn.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr CUdeviceptr DEVICE = 1ull << 47;  // added to addresses of the device: the host faults on them
constexpr size_t PAGE = 4096, ALIGNED = 256;

std::recursive_mutex lock;
bool initialised = false;
int retained = 0;
CUresult broken = CUDA_SUCCESS;
size_t capacity = 8ull << 30, used = 0;
thread_local std::vector<int> contexts;  // this thread's stack; there is one context, so only its depth counts
thread_local int capturing = 0;
int the_context;

struct Allocation {
    char *mapped;
    size_t mapped_bytes, nbytes;
};
std::map<CUdeviceptr, Allocation> allocations;  // of the device and page-locked ones, by the address that callers know

struct Stream;
struct Mark {
    Stream *stream;
    bool reached = false;
};
struct Work {
    std::function<CUresult()> run;
    std::shared_ptr<Mark> after, reaches;
};
struct Graph {
    std::vector<Work> work;
};
struct Stream {
    std::deque<Work> queue;
    std::unique_ptr<Graph> capture;
    bool spoilt = false;
    bool busy = false;  // in a function of the host's, during which other threads may call us
};
struct Event {
    std::shared_ptr<Mark> mark;
    Stream *captured = nullptr;
};
struct Module {
    void *kernels;
};
struct Function {
    void (*run)(const unsigned *, void *const *);
    std::vector<size_t> offsets, sizes;
    std::vector<int> pointers;
    size_t nbytes = 0;
};
struct Executable {
    std::shared_ptr<Graph> graph;
};
std::set<Stream *> streams;
std::vector<Stream *> running;  // streams in the order in which they were made, with destroyed ones that aren't done
std::set<Event *> events;
std::set<Graph *> graphs;
std::set<Executable *> executables;
std::map<std::string, std::unique_ptr<Function>> functions;
std::unique_ptr<std::mt19937> dice;
long until_loss = -1;

CUresult refuse(CUresult code, const char *why) {
    std::fprintf(stderr, "emulated driver: %s\n", why);
    return code;
}

CUresult ready() {
    if (!initialised) return CUDA_ERROR_NOT_INITIALIZED;
    if (contexts.empty() || !retained) return refuse(CUDA_ERROR_INVALID_CONTEXT, "this thread has no context");
    return broken;
}

#define ENTER                                           \
    std::unique_lock<std::recursive_mutex> held(lock);  \
    if (CUresult state = ready(); state != CUDA_SUCCESS) return state

CUresult break_down(CUresult code, const char *why) {
    broken = code;
    return refuse(code, why);
}

// Where the host finds memory that a caller knows by an address; null when any of it isn't there.
char *found(CUdeviceptr address, size_t nbytes) {
    auto next = allocations.upper_bound(address);
    if (next == allocations.begin()) return nullptr;
    auto &[start, one] = *std::prev(next);
    if (address + nbytes > start + one.nbytes) return nullptr;
    return reinterpret_cast<char *>(start >= DEVICE ? address - DEVICE : address);
}

CUresult allocate(size_t nbytes, bool on_device, CUdeviceptr *address) {
    if (!nbytes) return CUDA_ERROR_INVALID_VALUE;
    if (on_device && used + nbytes > capacity) return CUDA_ERROR_OUT_OF_MEMORY;
    size_t whole = (nbytes + ALIGNED - 1) / ALIGNED * ALIGNED, pages = (whole + PAGE - 1) / PAGE * PAGE;
    void *mapped = mmap(nullptr, pages + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) return CUDA_ERROR_OUT_OF_MEMORY;
    char *base = static_cast<char *>(mapped);
    mprotect(base + PAGE, pages, PROT_READ | PROT_WRITE);
    char *start = base + PAGE + pages - whole;  // the end touches the page that nobody can touch
    std::memset(start, 0xFF, whole);
    *address = reinterpret_cast<CUdeviceptr>(start) + (on_device ? DEVICE : 0);
    allocations[*address] = {base, pages + 2 * PAGE, nbytes};
    if (on_device) used += nbytes;
    return CUDA_SUCCESS;
}

CUresult release(CUdeviceptr address) {
    auto it = allocations.find(address);
    if (it == allocations.end()) return refuse(CUDA_ERROR_INVALID_VALUE, "memory was freed that nobody holds");
    munmap(it->second.mapped, it->second.mapped_bytes);
    if (address >= DEVICE) used -= it->second.nbytes;
    allocations.erase(it);
    return CUDA_SUCCESS;
}

CUresult step(Stream *stream);

bool runs(Stream *stream) { return std::find(running.begin(), running.end(), stream) != running.end(); }

// Lets another thread finish what it does in a stream; whether there was one.
bool gave_way(Stream *stream) {
    if (!stream->busy) return false;
    lock.unlock();
    std::this_thread::yield();
    lock.lock();
    return true;
}

CUresult reach(const std::shared_ptr<Mark> &mark) {
    while (!mark->reached && broken == CUDA_SUCCESS) {
        if (!runs(mark->stream)) return break_down(CUDA_ERROR_UNKNOWN, "a mark is waited for that no stream will come to");
        if (gave_way(mark->stream)) continue;
        if (mark->stream->queue.empty())
            return break_down(CUDA_ERROR_UNKNOWN, "a mark is waited for that its stream has not been given");
        step(mark->stream);
    }
    return broken;
}

CUresult step(Stream *stream) {
    Work work = std::move(stream->queue.front());
    stream->queue.pop_front();
    if (work.after && reach(work.after) != CUDA_SUCCESS) return broken;
    if (work.run && broken == CUDA_SUCCESS) {
        stream->busy = true;
        CUresult code = work.run();
        stream->busy = false;
        if (code != CUDA_SUCCESS) broken = code;
        if (until_loss > 0 && --until_loss == 0) break_down(CUDA_ERROR_ILLEGAL_ADDRESS, "the device is lost, as was asked");
    }
    if (work.reaches) work.reaches->reached = true;
    return broken;
}

CUresult drain(Stream *stream) {
    while (broken == CUDA_SUCCESS && (gave_way(stream) || !stream->queue.empty()))
        if (!stream->busy && !stream->queue.empty()) step(stream);
    return broken;
}

CUresult drain_all() {
    for (size_t index = 0; index < running.size(); ++index) drain(running[index]);
    return broken;
}

// Forgets destroyed streams that are done.
void bury() {
    for (size_t index = running.size(); index-- > 0;) {
        Stream *stream = running[index];
        if (streams.count(stream) || stream->busy || !stream->queue.empty()) continue;
        running.erase(running.begin() + index);
        delete stream;
    }
}

// Random streams go on by a few pieces of work, where a seed asks for it.
void wander() {
    if (!dice) return;
    for (unsigned count = (*dice)() % 4; count && broken == CUDA_SUCCESS; --count) {
        Stream *stream = running[(*dice)() % running.size()];
        if (!stream->busy && !stream->queue.empty()) step(stream);
    }
}

CUresult put(CUstream handle, Work work) {
    auto *stream = reinterpret_cast<Stream *>(handle);
    if (!streams.count(stream)) return refuse(CUDA_ERROR_INVALID_HANDLE, "work for a stream that isn't there");
    if (stream->capture) {
        stream->capture->work.push_back(std::move(work));
        return CUDA_SUCCESS;
    }
    stream->queue.push_back(std::move(work));
    wander();
    return broken;
}

// What a thread that captures may not do, since it could wait for other streams.
CUresult spoil_captures(const char *why) {
    for (auto *stream : streams) stream->spoilt |= stream->capture != nullptr;
    return refuse(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, why);
}
CUresult unsafe_while_capturing() {
    return capturing ? spoil_captures("memory or a wait while a stream is captured") : CUDA_SUCCESS;
}

CUresult copy(CUdeviceptr target, CUdeviceptr source, size_t nbytes, CUstream stream) {
    CUdeviceptr host = target >= DEVICE ? source : target;
    if (!found(host, nbytes)) return refuse(CUDA_ERROR_INVALID_VALUE, "a copy from or to memory that isn't page-locked");
    return put(stream, {[=] {
                            char *to = found(target, nbytes), *from = found(source, nbytes);
                            if (!to || !from) return break_down(CUDA_ERROR_ILLEGAL_ADDRESS, "a copy of freed memory, or beyond its end");
                            std::memcpy(to, from, nbytes);
                            return CUDA_SUCCESS;
                        }, nullptr, nullptr});
}

struct Launch {
    Function *function;
    unsigned shape[6];
    std::vector<char> values;
};

CUresult run(const Launch &launch) {
    std::vector<char> values = launch.values;
    std::vector<void *> passed;
    for (size_t index = 0; index < launch.function->offsets.size(); ++index) {
        char *value = values.data() + launch.function->offsets[index];
        if (launch.function->pointers[index]) {
            CUdeviceptr address;
            std::memcpy(&address, value, sizeof address);
            if (address < DEVICE || !found(address, 1))
                return break_down(CUDA_ERROR_ILLEGAL_ADDRESS, "a kernel was given an address that isn't the device's");
            address -= DEVICE;
            std::memcpy(value, &address, sizeof address);
        }
        passed.push_back(value);
    }
    launch.function->run(launch.shape, passed.data());
    return CUDA_SUCCESS;
}

// NVIDIA's words for an error, out of the CUDA runtime, which needs no driver for that.
const char *words(CUresult code) {
    static void *runtime = dlopen("libcudart.so.13", RTLD_NOW);
    static auto said = reinterpret_cast<const char *(*)(int)>(runtime ? dlsym(runtime, "cudaGetErrorString") : nullptr);
    return said ? said(code) : "an error, and no libcudart.so.13 that has words for it";
}

}  // namespace

extern "C" {

// For tests: how much is held, how much there is, and a device that breaks down.
size_t emulated_held_bytes() { return used; }
size_t emulated_held() { return allocations.size() + streams.size() + events.size() + graphs.size() + executables.size(); }
void emulated_capacity(size_t nbytes) { capacity = nbytes; }
// Also mends one, which no real driver does.
void emulated_break(int code) { broken = static_cast<CUresult>(code); }
void *emulated_host_address(CUdeviceptr address, size_t nbytes) { return address >= DEVICE ? found(address, nbytes) : nullptr; }
// As a library that builds engines does now and then, in a thread without a context of ours.
int emulated_wait_for_all() {
    std::unique_lock<std::recursive_mutex> held(lock);
    if (!retained) return CUDA_SUCCESS;
    for (auto *stream : streams)
        if (stream->capture) return spoil_captures("a wait for the whole device while a stream is captured");
    return drain_all();
}
int emulated_is_captured(CUstream stream) { return reinterpret_cast<Stream *>(stream)->capture != nullptr; }

CUresult cuInit(unsigned) {
    std::unique_lock<std::recursive_mutex> held(lock);
    if (const char *seed = std::getenv("FACESTREAM_EMULATED_SCHEDULE"); seed && !initialised && std::strcmp(seed, "late"))
        dice = std::make_unique<std::mt19937>(std::atoi(seed));
    if (const char *count = std::getenv("FACESTREAM_EMULATED_LOSS"); count && !initialised) until_loss = std::atol(count);
    initialised = true;
    return CUDA_SUCCESS;
}
CUresult cuDriverGetVersion(int *version) {
    *version = CUDA_VERSION;
    return CUDA_SUCCESS;
}
CUresult cuGetErrorString(CUresult error, const char **text) {
    *text = words(error);
    return CUDA_SUCCESS;
}
CUresult cuDeviceGetCount(int *count) {
    *count = 1;
    return CUDA_SUCCESS;
}
CUresult cuDeviceGet(CUdevice *device, int index) {
    if (!initialised) return CUDA_ERROR_NOT_INITIALIZED;
    *device = index;
    return index ? CUDA_ERROR_INVALID_DEVICE : CUDA_SUCCESS;
}
CUresult cuDeviceGetName(char *name, int length, CUdevice) {
    std::snprintf(name, length, "emulated GPU");
    return CUDA_SUCCESS;
}
CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute which, CUdevice) {
    *value = which == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR   ? 8
             : which == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR ? 6
                                                                     : 0;
    return CUDA_SUCCESS;
}

CUresult cuDeviceComputeCapability(int *major, int *minor, CUdevice) {
    *major = 8, *minor = 6;
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice) {
    std::unique_lock<std::recursive_mutex> held(lock);
    if (!initialised) return CUDA_ERROR_NOT_INITIALIZED;
    if (broken != CUDA_SUCCESS) return broken;
    ++retained;
    *context = reinterpret_cast<CUcontext>(&the_context);
    return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRelease(CUdevice) {
    std::unique_lock<std::recursive_mutex> held(lock);
    if (!retained) return refuse(CUDA_ERROR_INVALID_CONTEXT, "the context was released more often than it was retained");
    if (--retained) return broken;
    drain_all();
    bury();
    if (size_t left = allocations.size() + streams.size() + events.size() + graphs.size() + executables.size())
        std::fprintf(stderr, "emulated driver: the context ends with %zu things that nobody gave back\n", left);
    return broken;
}
CUresult cuCtxSetCurrent(CUcontext context) {
    contexts.assign(context ? 1 : 0, 0);
    return CUDA_SUCCESS;
}
CUresult cuCtxPushCurrent(CUcontext) {
    contexts.push_back(0);
    return CUDA_SUCCESS;
}
CUresult cuCtxPopCurrent(CUcontext *context) {
    ENTER;
    contexts.pop_back();
    if (context) *context = reinterpret_cast<CUcontext>(&the_context);
    return CUDA_SUCCESS;
}
CUresult cuCtxGetDevice(CUdevice *device) {
    ENTER;
    *device = 0;
    return CUDA_SUCCESS;
}

CUresult cuMemGetInfo(size_t *free_bytes, size_t *total) {
    ENTER;
    *free_bytes = capacity - used;
    *total = capacity;
    return CUDA_SUCCESS;
}
CUresult cuMemAlloc(CUdeviceptr *address, size_t nbytes) {
    ENTER;
    if (CUresult state = unsafe_while_capturing(); state != CUDA_SUCCESS) return state;
    return allocate(nbytes, true, address);
}
CUresult cuMemFree(CUdeviceptr address) {
    ENTER;
    if (CUresult state = unsafe_while_capturing(); state != CUDA_SUCCESS) return state;
    return release(address);
}
CUresult cuMemHostAlloc(void **memory, size_t nbytes, unsigned) {
    ENTER;
    if (CUresult state = unsafe_while_capturing(); state != CUDA_SUCCESS) return state;
    CUdeviceptr address = 0;
    CUresult code = allocate(nbytes, false, &address);
    *memory = reinterpret_cast<void *>(address);
    return code;
}
CUresult cuMemFreeHost(void *memory) {
    ENTER;
    if (CUresult state = unsafe_while_capturing(); state != CUDA_SUCCESS) return state;
    return release(reinterpret_cast<CUdeviceptr>(memory));
}
CUresult cuMemcpyHtoDAsync(CUdeviceptr target, const void *source, size_t nbytes, CUstream stream) {
    ENTER;
    return copy(target, reinterpret_cast<CUdeviceptr>(source), nbytes, stream);
}
CUresult cuMemcpyDtoHAsync(void *target, CUdeviceptr source, size_t nbytes, CUstream stream) {
    ENTER;
    return copy(reinterpret_cast<CUdeviceptr>(target), source, nbytes, stream);
}

CUresult cuStreamCreate(CUstream *stream, unsigned flags) {
    ENTER;
    if (flags != CU_STREAM_NON_BLOCKING) return refuse(CUDA_ERROR_NOT_SUPPORTED, "a stream that waits for the default one");
    auto *made = new Stream;
    streams.insert(made);
    running.push_back(made);
    *stream = reinterpret_cast<CUstream>(made);
    return CUDA_SUCCESS;
}
CUresult cuStreamSynchronize(CUstream handle) {
    ENTER;
    if (CUresult state = unsafe_while_capturing(); state != CUDA_SUCCESS) return state;
    auto *stream = reinterpret_cast<Stream *>(handle);
    return streams.count(stream) ? drain(stream) : CUDA_ERROR_INVALID_HANDLE;
}
CUresult cuStreamQuery(CUstream handle) {
    ENTER;
    if (CUresult state = unsafe_while_capturing(); state != CUDA_SUCCESS) return state;
    auto *stream = reinterpret_cast<Stream *>(handle);
    return !streams.count(stream) ? CUDA_ERROR_INVALID_HANDLE : stream->queue.empty() ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}
CUresult cuStreamWaitEvent(CUstream stream, CUevent handle, unsigned) {
    ENTER;
    auto *event = reinterpret_cast<Event *>(handle);
    if (!events.count(event)) return CUDA_ERROR_INVALID_HANDLE;
    if (streams.count(reinterpret_cast<Stream *>(stream)) && reinterpret_cast<Stream *>(stream)->capture && !event->captured)
        return refuse(CUDA_ERROR_STREAM_CAPTURE_ISOLATION, "a captured stream was to wait for one that isn't");
    return put(stream, {nullptr, event->mark, nullptr});
}
CUresult cuStreamDestroy(CUstream handle) {
    ENTER;
    auto *stream = reinterpret_cast<Stream *>(handle);
    if (!streams.erase(stream)) return CUDA_ERROR_INVALID_HANDLE;
    bury();
    return broken;
}
CUresult cuLaunchHostFunc(CUstream stream, CUhostFn function, void *given) {
    ENTER;
    return put(stream, {[=] {
                            lock.unlock();  // it may wait for Python's lock, whose owner may wait for ours
                            function(given);
                            lock.lock();
                            return broken;
                        }, nullptr, nullptr});
}

CUresult cuEventCreate(CUevent *event, unsigned) {
    ENTER;
    auto *made = new Event;
    events.insert(made);
    *event = reinterpret_cast<CUevent>(made);
    return CUDA_SUCCESS;
}
CUresult cuEventRecord(CUevent handle, CUstream stream) {
    ENTER;
    auto *event = reinterpret_cast<Event *>(handle);
    auto *where = reinterpret_cast<Stream *>(stream);
    if (!events.count(event) || !streams.count(where)) return CUDA_ERROR_INVALID_HANDLE;
    event->captured = where->capture ? where : nullptr;
    event->mark = std::make_shared<Mark>(Mark{where});
    return put(stream, {nullptr, nullptr, event->mark});
}
CUresult cuEventSynchronize(CUevent handle) {
    ENTER;
    if (CUresult state = unsafe_while_capturing(); state != CUDA_SUCCESS) return state;
    auto *event = reinterpret_cast<Event *>(handle);
    if (!events.count(event)) return CUDA_ERROR_INVALID_HANDLE;
    if (event->captured) return refuse(CUDA_ERROR_CAPTURED_EVENT, "a wait for a mark that was only recorded");
    return event->mark ? reach(event->mark) : CUDA_SUCCESS;
}
CUresult cuEventQuery(CUevent handle) {
    ENTER;
    if (CUresult state = unsafe_while_capturing(); state != CUDA_SUCCESS) return state;
    auto *event = reinterpret_cast<Event *>(handle);
    if (!events.count(event)) return CUDA_ERROR_INVALID_HANDLE;
    return !event->mark || event->mark->reached ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}
CUresult cuEventDestroy(CUevent handle) {
    ENTER;
    auto *event = reinterpret_cast<Event *>(handle);
    if (!events.erase(event)) return CUDA_ERROR_INVALID_HANDLE;
    delete event;
    return CUDA_SUCCESS;
}

CUresult cuModuleLoadData(CUmodule *module, const void *image) {
    ENTER;
    if (CUresult state = unsafe_while_capturing(); state != CUDA_SUCCESS) return state;
    if (std::memcmp(image, "\177ELF", 4)) return refuse(CUDA_ERROR_INVALID_IMAGE, "the image of a module is no cubin");
    const char *path = std::getenv("FACESTREAM_EMULATED_KERNELS");
    void *kernels = path ? dlopen(path, RTLD_NOW) : nullptr;
    if (!kernels) return refuse(CUDA_ERROR_INVALID_IMAGE, "FACESTREAM_EMULATED_KERNELS names no library");
    *module = reinterpret_cast<CUmodule>(new Module{kernels});
    return CUDA_SUCCESS;
}
CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned, CUjit_option *, void **) {
    return cuModuleLoadData(module, image);
}
CUresult cuModuleUnload(CUmodule module) {
    ENTER;
    delete reinterpret_cast<Module *>(module);
    return CUDA_SUCCESS;
}
CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
    ENTER;
    void *kernels = reinterpret_cast<Module *>(module)->kernels;
    auto made = std::make_unique<Function>();
    made->run = reinterpret_cast<decltype(made->run)>(dlsym(kernels, (std::string("run_") + name).c_str()));
    auto layout = reinterpret_cast<int (*)(size_t *, size_t *, int *)>(dlsym(kernels, (std::string("layout_") + name).c_str()));
    if (!made->run || !layout) return CUDA_ERROR_NOT_FOUND;
    size_t sizes[32], alignments[32], place = 0;
    int pointers[32];
    for (int index = 0, count = layout(sizes, alignments, pointers); index < count; ++index) {
        place = (place + alignments[index] - 1) / alignments[index] * alignments[index];
        made->offsets.push_back(place);
        made->sizes.push_back(sizes[index]);
        made->pointers.push_back(pointers[index]);
        place += sizes[index];
    }
    made->nbytes = place;
    auto &kept = functions[name];
    if (!kept) kept = std::move(made);
    *function = reinterpret_cast<CUfunction>(kept.get());
    return CUDA_SUCCESS;
}
// What pycuda still calls before it launches, with the block once more.
CUresult cuFuncSetBlockShape(CUfunction, int, int, int) {
    ENTER;
    return CUDA_SUCCESS;
}
CUresult cuLaunchKernel(CUfunction handle, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
                        unsigned block_z, unsigned, CUstream stream, void **parameters, void **extra) {
    ENTER;
    if (size_t(block_x) * block_y * block_z > 1024 || grid_y > 65535 || grid_z > 65535 || block_z > 64 || !grid_x || !grid_y || !grid_z)
        return refuse(CUDA_ERROR_INVALID_VALUE, "a grid or block that no GPU takes");
    auto *function = reinterpret_cast<Function *>(handle);
    Launch launch{function, {grid_x, grid_y, grid_z, block_x, block_y, block_z}, std::vector<char>(function->nbytes)};
    if (parameters) {
        for (size_t index = 0; index < function->offsets.size(); ++index)
            std::memcpy(launch.values.data() + function->offsets[index], parameters[index], function->sizes[index]);
    } else {
        const void *buffer = nullptr;
        size_t nbytes = 0;
        for (; extra && *extra != CU_LAUNCH_PARAM_END; extra += 2) {
            if (*extra == CU_LAUNCH_PARAM_BUFFER_POINTER) buffer = extra[1];
            if (*extra == CU_LAUNCH_PARAM_BUFFER_SIZE) nbytes = *static_cast<size_t *>(extra[1]);
        }
        if (!buffer || nbytes != function->nbytes) return refuse(CUDA_ERROR_INVALID_VALUE, "a kernel's parameters have another size than it takes");
        std::memcpy(launch.values.data(), buffer, nbytes);
    }
    return put(stream, {[launch] { return run(launch); }, nullptr, nullptr});
}

CUresult cuStreamBeginCapture(CUstream handle, CUstreamCaptureMode mode) {
    ENTER;
    auto *stream = reinterpret_cast<Stream *>(handle);
    if (!streams.count(stream) || stream->capture || mode != CU_STREAM_CAPTURE_MODE_THREAD_LOCAL) return CUDA_ERROR_INVALID_VALUE;
    stream->capture = std::make_unique<Graph>();
    stream->spoilt = false;
    ++capturing;
    return CUDA_SUCCESS;
}
CUresult cuStreamEndCapture(CUstream handle, CUgraph *graph) {
    ENTER;
    auto *stream = reinterpret_cast<Stream *>(handle);
    if (!streams.count(stream) || !stream->capture) return CUDA_ERROR_ILLEGAL_STATE;
    --capturing;
    auto made = std::move(stream->capture);
    *graph = nullptr;
    if (stream->spoilt) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    graphs.insert(made.get());
    *graph = reinterpret_cast<CUgraph>(made.release());
    return CUDA_SUCCESS;
}
CUresult cuGraphInstantiate(CUgraphExec *executable, CUgraph handle, unsigned long long) {
    ENTER;
    auto *graph = reinterpret_cast<Graph *>(handle);
    if (!graphs.count(graph)) return CUDA_ERROR_INVALID_HANDLE;
    auto *made = new Executable{std::make_shared<Graph>(*graph)};
    executables.insert(made);
    *executable = reinterpret_cast<CUgraphExec>(made);
    return CUDA_SUCCESS;
}
CUresult cuGraphDestroy(CUgraph handle) {
    ENTER;
    auto *graph = reinterpret_cast<Graph *>(handle);
    if (!graphs.erase(graph)) return CUDA_ERROR_INVALID_HANDLE;
    delete graph;
    return CUDA_SUCCESS;
}
CUresult cuGraphLaunch(CUgraphExec handle, CUstream stream) {
    ENTER;
    auto *executable = reinterpret_cast<Executable *>(handle);
    if (!executables.count(executable)) return CUDA_ERROR_INVALID_HANDLE;
    return put(stream, {[graph = executable->graph] {
                            for (auto &work : graph->work)
                                if (CUresult code = work.run ? work.run() : CUDA_SUCCESS; code != CUDA_SUCCESS) return code;
                            return CUDA_SUCCESS;
                        }, nullptr, nullptr});
}
CUresult cuGraphExecDestroy(CUgraphExec handle) {
    ENTER;
    auto *executable = reinterpret_cast<Executable *>(handle);
    if (!executables.erase(executable)) return CUDA_ERROR_INVALID_HANDLE;
    delete executable;
    return CUDA_SUCCESS;
}

// NVRTC asks for it wherever a driver is.
CUresult cuGetExportTable(const void **table, const CUuuid *) {
    *table = nullptr;
    return CUDA_ERROR_NOT_FOUND;
}

// How cuda-bindings find a function: by its name without a version, for a version of CUDA.
CUresult cuGetProcAddress(const char *name, void **function, int, cuuint64_t, CUdriverProcAddressQueryResult *status) {
    static void *own = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
    std::string base = std::strcmp(name, "cuGraphInstantiate") ? name : "cuGraphInstantiateWithFlags";
    *function = nullptr;
    for (const char *version : {"_v4", "_v3", "_v2", ""})
        if (!*function) *function = dlsym(own, (base + version).c_str());
    if (status) *status = *function ? CU_GET_PROC_ADDRESS_SUCCESS : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    return *function ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

}  // extern "C"
