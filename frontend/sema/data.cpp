// The block of a data reader: what it gives, as the model's inputs.
#include <algorithm>

#include "compiler/ops/ops.h"
#include "compiler/support/text.h"
#include "frontend/sema/elaborator.h"

namespace gradc::sema {
namespace {

bool fits(const Type& have, const Type& declared) {
  if (have.rank() != declared.rank()) return false;
  for (size_t i = 0; i < have.rank(); ++i) {
    if (declared.size(i) != 0 && declared.size(i) != have.size(i)) return false;
  }
  return true;
}

}  // namespace

// The size of a dimension of the model's inputs; reports UnboundDimension.
int64_t Elaborator::known_dimension(Symbol name, SourceSpan at) {
  const Binding* b = name ? frame_->scope->find(name) : nullptr;
  if (auto* n = b ? b->value.as<Num>() : nullptr) return static_cast<int64_t>(n->value);
  report(DiagnosticKind::UnboundDimension, at, name).note("'batch' in the train block gives the number of rows, and so does rows = ... of a draw");
  abort();
}

std::optional<Graph> Elaborator::data(const DataSpec& data, const RawData& raw, const std::vector<InputInfo>& inputs) {
  columns_ = raw.columns;
  draw_element_ = raw.element;
  graph_.name = data.reader;
  Frame frame;
  frame.kind = Frame::Data;
  frame.scope = inner_scope(world_.user);
  FrameScope enter(*this, frame);
  At here(*this, data.span);
  for (const InputInfo& info : inputs) {
    for (size_t i = 0; i < info.dims.size(); ++i) {
      if (info.dims[i] && info.type.size(i) == 0) open_dims_.insert(info.dims[i]);
    }
  }
  for (const auto& [name, size] : raw.dims) {
    if (open_dims_.erase(name)) frame.scope->names[name] = {number(static_cast<double>(size), name), data.span};
  }
  for (const auto& [name, type] : raw.tensors) {
    Value v = wrap(input(builder(), name, role::data, type));
    graph_.edit(v.as<TensorRef>()->node).name = name;
    frame.scope->names[name] = {v, data.span};
  }
  for (const ast::DataBinding& b : data.syntax->bindings) {
    auto info = std::find_if(inputs.begin(), inputs.end(), [&](const InputInfo& i) { return i.name == b.name.name; });
    if (info == inputs.end()) continue;  // reported with the train block
    Restore<const InputInfo*> giving(data_input_, &*info);
    // Draws of each input, and of `data` and `test`, are their own.
    Restore<std::string> base(frame.base, fmt::format("{} {}", data.test ? "test" : "data", b.name.name));
    try {
      Value v = evaluate(*b.value);
      Expr x = expr(v, b.value->span, info->type.element);
      if (fits(x.type(), info->type)) {
        graph_.outputs.push_back({b.name.name, OutputKind::Value, x.id});
      } else {
        report(DiagnosticKind::DataShape, b.value->span, b.name.name, shape_to_string(x.type()), quote(info->span)).note(info->span, fmt::format("'{}' is declared here", b.name.name));
      }
    } catch (const Abort&) {
    }
  }
  if (diagnostics_.has_errors()) return std::nullopt;
  return graph_.compacted();
}

}  // namespace gradc::sema
