"""The five assets, one file each, in the order of the flow."""
