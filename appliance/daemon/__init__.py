"""What the programs of a host share: settings, signals, feed, and how they follow what they depend on."""
