"""Text in, contexts out: documents, their packing into contexts, and the order in which training reads them.

The rule for special tokens, the same for training, splicing, ablation and cross-entropy: every context begins with BOS,
and the positions of special tokens (BOS, and what stands between joined documents) are read by the language model but
never trained on, never spliced or ablated, and predictions made from them or of them are not counted. Their
activations are outliers, tens of times the norm of the others in many models, and would rule every mean square error
and every norm.
"""
