#include "compiler/jit/tiles.h"

#include "compiler/jit/sha256.h"
#include "compiler/schedule/build.h"

namespace gradc {

std::string tile_key(const KernelBody& body) {
  KernelBody plain = body;
  plain.name = {};
  auto& c = std::get<Contraction>(plain.form);
  for (KernelDim& d : c.dims) d.name = {};
  c.mr = c.nr = c.block_m = c.block_n = 0;
  const std::string text = print(plain);
  Sha256 hash;
  hash.update(text.data(), text.size());
  return hash.hex().substr(0, 32);
}

void suit_threads(KernelProgram& program, int threads) {
  if (threads > 1) return;
  for (KernelBody& body : program.bodies) {
    auto* c = std::get_if<Contraction>(&body.form);
    const auto windows = c ? find_windows(*c) : std::nullopt;
    if (!windows || !windows->sums_places) continue;
    const scheduling::Tiles t = scheduling::choose_window_tiles(program.target, *c, *windows, /*filter_blocks=*/1);
    if (auto other = retiled(*c, {t.mr, t.nr, t.block_m, t.block_n}, program.target)) *c = std::move(*other);
  }
}

void use_tiles(KernelProgram& program, const TileChoices& choices) {
  if (choices.empty()) return;
  for (KernelBody& body : program.bodies) {
    auto* c = std::get_if<Contraction>(&body.form);
    auto chosen = c ? choices.find(tile_key(body)) : choices.end();
    if (chosen == choices.end()) continue;
    if (auto other = retiled(*c, chosen->second, program.target)) *c = std::move(*other);
  }
}

}  // namespace gradc
