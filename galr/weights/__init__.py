"""Files of weights: ours, those of the released code, and skip-thoughts'."""
