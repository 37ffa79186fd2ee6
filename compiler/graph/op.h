#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "compiler/graph/attrs.h"
#include "compiler/graph/scalar.h"
#include "compiler/graph/type.h"
#include "compiler/support/typed_id.h"

namespace gradc {

class Graph;
class GraphBuilder;
using NodeId = TypedId<struct NodeTag>;

// What a stage may know of an operation without knowing its name.
enum class OpKind : uint8_t {
  Input,          // a value from outside: attributes name, role
  Constant,       // the same value everywhere: attribute value
  Iota,           // the index along an axis: attribute axis
  Random,         // uniform in [0, 1), a function of (seed, step, site, index): attribute site
  Pointwise,      // element by element over equal shapes: has a scalar program
  View,           // each output element is one input element at affine indices: has a view map
  Reshape,        // same elements in row-major order
  Pad,            // a view with a fill value outside
  Concatenate,    // operands one after the other along an axis
  Reduction,      // combiner over axes
  ArgReduction,   // index of the first extreme along an axis
  Contraction,    // sum over shared labels of a product of two operands
  Gather,         // rows picked by index
  ScatterAdd,     // rows added by index
  StopGradient,   // identity that no derivative passes
  WithDerivative, // identity of its first operand, with a derivative of the user's
  Grad,           // a request that the backward stage expands
  Scan,           // a loop over a body graph; no tensor, its values are picked by Result
  Result,         // a value that a loop leaves behind: attribute index
};

enum class Combiner : uint8_t { Sum, Prod, Max, Min };
const char* name(Combiner c);

// How one axis of a view's operand is indexed: index = scale * (index of output axis `axis`) + offset; axis -1: just offset.
// With a second axis `by`: plus by_scale * (index of output axis `by`), as in windows.
struct ViewTerm {
  int axis = -1;
  int64_t scale = 1;
  int64_t offset = 0;
  int by = -1;
  int64_t by_scale = 0;
};

struct TypeResult {
  std::optional<Type> type;
  std::string error;  // a lower-case phrase where there is no type
};

// A sampling interval for tests; points where the function has a kink or a pole are listed apart.
struct SampleDomain {
  double low = -3, high = 3;
  std::vector<double> special{};  // values worth testing exactly (ties, edges, overflow thresholds)
  std::vector<double> kinks{};    // derivative tests keep away from these (in operand 0)
};

// Operands and attributes that an operation accepts, for tests and documentation.
struct OpExample {
  std::vector<Type> operands{};
  Attrs attrs{};
  std::shared_ptr<const Graph> body{};  // of a loop; of the loop that a result reads
};

// The descriptor of a primitive, folded from its struct under ops/. Everything any stage knows of an operation is here.
struct Op {
  const char* name = "";
  OpKind kind = OpKind::Pointwise;
  int arity = 1;  // -1: any number, at least one
  const char* doc = "";
  std::vector<const char*> attributes{};  // keys, in printing order
  const char* convention = "";            // what happens at ties, kinks and outside the domain
  const char* stability = "";             // where a naive form loses digits, and what this one does
  uint32_t index_operands = 0;            // bit i: operand i is a condition or an index and carries no derivative
  const char* not_differentiable = nullptr;  // the reason, in words; exactly one of this, vjp and swept is set
  bool swept = false;                     // its derivative is a sweep over its body, which autodiff makes
  bool commutative = false;
  std::optional<Combiner> combiner{};     // of reductions and arg-reductions (Max, Min)
  std::vector<SampleDomain> samples{};    // per operand (the last repeats)
  double ulp_f32 = 2.5, ulp_f64 = 2.5;    // tolerance against multi-precision values

  // The type rule. `body` is what Graph::scope gives: only loops and their results have one.
  TypeResult infer(const std::vector<Type>& operands, const Attrs& attrs, const Graph* body = nullptr) const { return type(operands, attrs, body); }
  TypeResult (*type)(const std::vector<Type>& operands, const Attrs& attrs, const Graph* body) = nullptr;
  // Pointwise: the program for operands of these elements.
  ScalarProgram (*program)(const std::vector<Element>& operands, const Attrs& attrs) = nullptr;
  // View: one term per axis of the operand.
  std::vector<ViewTerm> (*view)(const Type& operand, const Type& result, const Attrs& attrs) = nullptr;
  // Given the cotangent of the node, the cotangent of each operand as new nodes; none where no derivative flows or
  // `wanted` is false. Every result has the operand's type.
  std::vector<NodeId> (*vjp)(GraphBuilder& b, NodeId node, NodeId cotangent, const std::vector<bool>& wanted) = nullptr;
  // Everything but point-wise operations of equal operands: they make their own from arity and samples.
  std::vector<OpExample> (*examples)() = nullptr;
};

}  // namespace gradc
