"""Text in, contexts out: documents, their packing into contexts, and the order in which training reads them.

The rule for special tokens, the same for training, splicing, ablation and cross-entropy: every context begins with BOS,
and the positions of special tokens (BOS, and what stands between joined documents) are read by the language model but
never trained on, spliced or ablated. Predictions from them and of them are not counted. Their activations are outliers:
in many models their norm is tens of times that of the others, and would dominate every mean square.
"""
