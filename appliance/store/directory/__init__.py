"""Objects in a folder of YAML that operators and several programs share."""
