"""Deep-learning sleep staging, step by step: the library under the book.

The rooms, in the order in which a night walks through them: `readers` and `simulator` give a
`Recording`; `signals` and `store` prepare it; `sampling`, `models` and `training` learn from it;
`inference` stages it; `analysis`, `plotting` and `results` say how well.
"""

__version__ = "0.1.0"
