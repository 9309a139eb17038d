"""Trains the segmentation model that Proctor ships, from frames of the built-in simulator."""
