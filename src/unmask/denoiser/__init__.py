"""The network: blocks, conditioning, pretrained backbones, checkpoints."""
