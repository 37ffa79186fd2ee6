#pragma once

#include <map>
#include <string>

#include "compiler/codegen/sum_order.h"

// Tiles for the machine that runs a step: what its number of threads wants, and what was chosen by measurement (gradc --tune). No bit changes.
namespace gradc {

using TileChoices = std::map<std::string, Tiling>;  // by tile_key

// Names a contraction by everything but its name and its tiles: equal bodies of other models have the same.
std::string tile_key(const KernelBody& body);
// Other tiles than the scheduler's, which are made for any number of threads, where so many are faster with them.
void suit_threads(KernelProgram& program, int threads);
// Gives every contraction the tiles chosen for it. What would change a bit, or isn't legal, is passed over.
void use_tiles(KernelProgram& program, const TileChoices& choices);

}  // namespace gradc
