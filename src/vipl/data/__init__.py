"""Video in, batches of frames out: manifests, decoding, sampling, augmentation."""
