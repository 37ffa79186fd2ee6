#pragma once

#include <map>
#include <string>

#include "compiler/codegen/sum_order.h"

// Tiles that were chosen by measurement (gradc --tune) for kernels of this machine.
namespace gradc {

using TileChoices = std::map<std::string, Tiling>;  // by tile_key

// Names a contraction by everything but its name and its tiles: equal bodies of other models have the same.
std::string tile_key(const KernelBody& body);
// Gives every contraction the tiles chosen for it. What would change a bit, or isn't legal, is passed over.
void use_tiles(KernelProgram& program, const TileChoices& choices);

}  // namespace gradc
