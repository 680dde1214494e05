"""The finished model as files: ``model.keras`` for Keras, ``engine/model.xml`` for OpenVINO."""
