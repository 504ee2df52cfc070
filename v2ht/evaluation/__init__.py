"""Evaluation: rankings in, numbers out. Knows no model."""

from v2ht.evaluation.compare import compare
from v2ht.evaluation.evaluate import Evaluation, EvaluationInput, evaluate
from v2ht.evaluation.metrics import PADDING
from v2ht.evaluation.pair import ranking_depth
from v2ht.evaluation.report import comparison_table, evaluation_report, evaluation_table

__all__ = [
    "PADDING",
    "Evaluation",
    "EvaluationInput",
    "compare",
    "comparison_table",
    "evaluate",
    "evaluation_report",
    "evaluation_table",
    "ranking_depth",
]
