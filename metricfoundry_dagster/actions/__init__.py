"""What a person can ask, one verb per file, over ports alone. Commands, routes and sensors only translate."""
