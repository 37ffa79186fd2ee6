#pragma once

#include <memory>

#include "compiler/support/diagnostics.h"
#include "frontend/syntax/ast.h"

namespace gradc {

// A whole model file. Where errors were reported the tree lacks the statements that hold them.
std::unique_ptr<ast::File> parse(FileId file, const SourceManager& sources, Diagnostics& diagnostics);

// A single expression that fills the file, as in --output "grad(loss, h1.W)"; null where it has errors.
ast::ExprPtr parse_expression(FileId file, const SourceManager& sources, Diagnostics& diagnostics);

}  // namespace gradc
