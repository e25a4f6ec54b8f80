# Snakemake runs this in the new environment, from the folder of the Snakefile.
set -eu
python -m pip install --disable-pip-version-check --no-deps --no-build-isolation --editable .
