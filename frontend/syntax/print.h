#pragma once

#include <string>

#include "frontend/syntax/ast.h"

namespace gradc::ast {

// The tree as indented lines, one node a line, with the place of items and statements (`inspect --stage ast`).
std::string print(const File& file, const SourceManager& sources);

// An expression or a shape on one line, in the formatter's spelling: what messages quote.
std::string inline_text(const Expr& e);
std::string inline_text(const ShapeType& type);

}  // namespace gradc::ast
