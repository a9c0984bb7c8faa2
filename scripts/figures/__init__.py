"""One module per figure: compute(size, seed, options), draw(numbers), finding(numbers).

size: tiny, quick or full. compute returns JSON values, and finding returns a sentence.
"""
