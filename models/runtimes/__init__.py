"""Models from elsewhere at work: code, MONAI bundles and nnU-Net plans over one CT."""
