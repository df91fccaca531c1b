"""model-inbox: drop a trained model in, find it validated, registered and loadable."""
