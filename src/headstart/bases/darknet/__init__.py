"""Darknet's models (YOLOv2, v3, v4, YOLO-Fastest, darknet19, darknet53), rebuilt as Keras models from cfg and weights.

A Darknet model is two files: a text, the cfg, which lists layers by kind and options, and a flat file of float32
weights in the order of these layers. Nothing in them is code.

    sections.py   the cfg as sections with typed options
    network.py    sections to layers with shapes and weights; where the features are
    weights.py    the weights file, checked against the layers
    build.py      layers and weights -> a Keras model
    boxes.py      detection layers -> boxes and scores

Source: J. Redmon, Darknet: Open Source Neural Networks in C (2013-2016), https://pjreddie.com/darknet, and the fork by
A. Bochkovskiy, https://github.com/AlexeyAB/darknet, where YOLOv4 was made.
"""
