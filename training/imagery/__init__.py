"""Selection, cropping and writing of the bundled photographs."""
