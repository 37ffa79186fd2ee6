#!/bin/sh
# From a fresh Debian 12 machine to a trained network: installs, builds, trains on handwritten digits, shows what to try next.
set -eu
cd "$(dirname "$0")/.."
sh tests/dependencies.sh build
cmake --preset release -DGRADC_BUILD_TESTS=OFF >/dev/null
cmake --build --preset release --target gradc
gradc=build/release/bin/gradc
echo
echo "Training examples/digits.grad on 1,797 handwritten digits, a fifth of them held out:"
"$gradc" train examples/digits.grad --out runs/digits
cat <<END

The gradient that was just compiled, line by line with its source and the rule that made it:
  $gradc inspect examples/digits.grad --stage backward --wrt h1.W
The same as fused kernels, and as machine code:
  $gradc inspect examples/digits.grad --stage kernels
  $gradc inspect examples/digits.grad --stage asm
Symbolic against numeric gradients:
  $gradc check examples/digits.grad
END
