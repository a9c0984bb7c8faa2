"""One module a figure: compute(size, seed, options), draw(numbers), finding(numbers).

size: tiny, quick or full. compute returns what JSON can hold.
"""
