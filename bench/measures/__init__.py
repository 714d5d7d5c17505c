"""One module for each group of measures: `measure(scene, options)` runs it and returns its findings."""
