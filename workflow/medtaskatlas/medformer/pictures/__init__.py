"""What weights of Medformer show, as files for figures: reconstructions, occlusions, latents."""
