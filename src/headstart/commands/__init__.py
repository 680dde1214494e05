"""The verbs: one file a command, with one public function that calls the stages in order. Read ``train.py`` first."""
