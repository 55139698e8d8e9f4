"""The paper's data: the typst source, the words in each language, and the fonts with their licence."""
