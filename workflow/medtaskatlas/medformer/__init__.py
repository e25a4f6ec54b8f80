"""Medformer: one transformer for pictures and volumes of many data sets, labelled or not."""
