"""The service's main job on real photographs: people are enrolled, walk past a camera, and are named or not."""
