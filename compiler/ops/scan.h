#pragma once

#include "compiler/graph/scan.h"
#include "compiler/ops/rules.h"

// Recurrence: a loop over a body graph, and the values that it leaves behind.
namespace gradc::ops {

struct Scan {
  static Op info() {
    return {.name = "scan",
            .kind = OpKind::Scan,
            .arity = -1,
            .doc = "runs its body once for each element of its sequences, handing on the carries",
            .convention = "with reverse, from the last element to the first; each emission stands at its element's place",
            .stability = "a step rounds as its body does; carries keep their element between steps"};
  }
  static constexpr AttrSpec attributes[] = {{"length", AttrKind::Integer},
                                            {"carries", AttrKind::Integer},
                                            {"sequences", AttrKind::Integer},
                                            {"reverse", AttrKind::Integer},
                                            {"recompute", AttrKind::Integer}};
  static constexpr bool swept = true;

  // No tensor, but the axis of time, with the name that the sequences give it.
  static TypeResult type(TypeArgs t) {
    if (!t.body) return refuse("has no body");
    int64_t length = t.integer("length"), carries = t.integer("carries"), sequences = t.integer("sequences");
    auto operands = static_cast<int64_t>(t.operands.size());
    if (length < 1) return refuse("makes at least 1 step, not {}", length);
    if (carries < 0 || sequences < 0 || carries > operands || sequences > operands - carries)
      return refuse("{} carries and {} sequences are not in {} operands", carries, sequences, operands);
    for (const char* flag : {"reverse", "recompute"}) {
      if (t.integer(flag) != 0 && t.integer(flag) != 1) return refuse("'{}' is 0 or 1, not {}", flag, t.integer(flag));
    }
    Dim time{length, {}};
    for (size_t i = 0; i < t.operands.size(); ++i) {
      bool sequence = static_cast<int64_t>(i) >= carries && static_cast<int64_t>(i) < carries + sequences;
      if (std::string p = input_problem(t, i, sequence, length); !p.empty()) return {std::nullopt, p};
      if (sequence && !time.name) time.name = t[i].dims[0].name;
    }
    if (std::string p = body_problem(t, static_cast<size_t>(carries)); !p.empty()) return {std::nullopt, p};
    return accept({Element::None, {time}});
  }

  static std::string input_problem(const TypeArgs& t, size_t i, bool sequence, int64_t length) {
    const Graph& body = *t.body;
    if (sequence && (t[i].rank() == 0 || t[i].size(0) != length))
      return fmt::format("operand {} is {}, not a sequence of {} elements", i, to_string(t[i]), length);
    const char* role = sequence ? role::element : static_cast<int64_t>(i) < t.integer("carries") ? role::carry : role::constant;
    if (i >= body.size() || body[NodeId(i)].op->kind != OpKind::Input || body[NodeId(i)].attrs.text("role") != Symbol(role))
      return fmt::format("node {} of the body is not its input of role {}", i, role);
    Type expected = sequence ? without_time(t[i]) : t[i];
    const Type& own = body[NodeId(i)].type;
    return own == expected ? std::string() : fmt::format("input {} of the body is {}, not {}", i, to_string(own), to_string(expected));
  }

  static std::string body_problem(const TypeArgs& t, size_t carries) {
    const Graph& body = *t.body;
    for (size_t i = t.operands.size(); i < body.size(); ++i) {
      if (body[NodeId(i)].op->kind == OpKind::Input) return fmt::format("node {} of the body is an input without an operand", i);
    }
    if (body.outputs.size() < carries) return fmt::format("{} carries have {} next values", carries, body.outputs.size());
    for (size_t k = 0; k < body.outputs.size(); ++k) {
      const Output& o = body.outputs[k];
      if (o.kind != OutputKind::Value) return fmt::format("the body updates '{}', but a body is pure", o.name);
      if (!o.node || o.node.at() >= body.size()) return fmt::format("output '{}' of the body names no node", o.name);
      const Type& type = body[o.node].type;
      if (type.element == Element::None) return fmt::format("output '{}' of the body is no tensor", o.name);
      if (k < carries && !(type == t[k])) return fmt::format("carry {} is {}, but its next value {}", k, to_string(t[k]), to_string(type));
    }
    return {};
  }

  // h' = h * x + w, emitting h'.
  static std::vector<OpExample> examples();
};

struct Result {
  static Op info() {
    return {.name = "result",
            .kind = OpKind::Result,
            .arity = 1,
            .doc = "a value of a scan: the last value of a carry, or all values of an emission along a new first axis",
            .convention = "carries come first, in order, then emissions"};
  }
  static constexpr AttrSpec attributes[] = {{"index", AttrKind::Integer}};
  static constexpr bool swept = true;

  static TypeResult type(TypeArgs t) {
    if (t[0].element != Element::None || t[0].rank() != 1 || !t.body) return refuse("picks from a scan, not from {}", to_string(t[0]));
    int64_t index = t.integer("index");
    const Graph& body = *t.body;
    if (!in_range(index, body.outputs.size())) return refuse("the scan has {} results, so none is {}", body.outputs.size(), index);
    const Output& output = body.outputs[static_cast<size_t>(index)];
    if (!output.node || output.node.at() >= body.size()) return refuse("output '{}' of the body names no node", output.name);
    // Which outputs are carries shows in the inputs: each has one.
    size_t carries = 0;
    while (carries < body.size() && is_carry(body[NodeId(carries)])) ++carries;
    Type type = body[output.node].type;
    return accept(static_cast<size_t>(index) < carries ? type : over_time(type, t[0].dims[0]));
  }
  static bool is_carry(const Node& n) { return n.op->kind == OpKind::Input && n.attrs.text("role") == Symbol(role::carry); }
  static std::vector<OpExample> examples();
};

}  // namespace gradc::ops
