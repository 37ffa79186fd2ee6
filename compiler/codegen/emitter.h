#pragma once

#include <map>
#include <unordered_map>
#include <vector>

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include "compiler/schedule/kernel.h"

// Shared by nests and contractions: statements of the kernel form -> LLVM instructions. Internal to codegen (includes LLVM).
//
// In memory Bool is i8 and Int is i64; in registers Bool is i1. A value that is the same in all lanes is kept as a scalar and spread
// where a vector is wanted, right after its definition. No instruction carries a fast-math flag.

namespace gradc {

using Builder = llvm::IRBuilder<>;

// What a statement is emitted for: one point, or `width` points that advance by one along `dim`.
struct Lanes {
  int dim = -1;
  int width = 1;                // 1: scalar code
  llvm::Value* mask = nullptr;  // <width x i1>: the lanes that exist; null: all. No memory of the others is touched.
};

// The place in the iteration space, of the first lane. Addresses come from here, so that the owner of the loops can hoist and
// strength-reduce them.
class Point {
 public:
  virtual ~Point() = default;
  // offset + sum of strides * index, as i64.
  virtual llvm::Value* linear(const Affine& at) = 0;
  // Pointer to element `at` of a slot.
  virtual llvm::Value* address(int slot, const Affine& at) = 0;
  // Number of the block in the grid (Access::block).
  virtual llvm::Value* block_times(int64_t stride) = 0;
};

class StatementEmitter {
 public:
  // Loads the slots' pointers and the sites that follow them from `buffers` where the builder stands. Locations are given to instructions only where `scope` is set.
  StatementEmitter(Builder& builder, const KernelBody& body, llvm::Value* buffers, llvm::DILocalScope* scope);

  // The environment, by ValueId. Scalar type: the same in all lanes. Accumulator statements keep what the caller has put here.
  std::vector<llvm::Value*> values;

  // Load, Store, Accumulate, Compute, Index, Random; Accumulator and Yield emit nothing. For Accumulate, `starting` (i1, or null for
  // never) says that every dim of `first` is at its start.
  void emit(const Stmt& stmt, Point& point, const Lanes& lanes, llvm::Value* starting = nullptr);
  // A whole list; returns Yield's operand where there is one (scalar if the same in all lanes).
  llvm::Value* emit(const std::vector<Stmt>& stmts, Point& point, const Lanes& lanes);

  // The value in vector form: spread over `width` lanes if it is a scalar (scalar for width 1).
  llvm::Value* spread(llvm::Value* value, int width);
  llvm::Value* combine(Combiner combiner, llvm::Value* a, llvm::Value* b);
  llvm::Value* identity(Combiner combiner, Element element, int width);

  llvm::Value* slot_pointer(int slot) const { return slots_[static_cast<size_t>(slot)]; }
  llvm::Type* memory_type(Element element, int width = 1) const;
  llvm::Type* register_type(Element element, int width = 1) const;
  const KernelBody& body() const { return body_; }
  Builder& builder() { return b_; }

  // Location of the instructions that follow: a statement's, or loop control (null).
  void locate(const Stmt* stmt);
  // The number that stands for a statement of the body in debug information, from 1.
  unsigned line_of(const Stmt& stmt) const { return lines_.at(&stmt); }

 private:
  llvm::Value* arg(const Stmt& stmt, size_t i, int width) { return spread(values[static_cast<size_t>(stmt.args[i])], width); }
  int width_of(const Stmt& stmt, const Lanes& lanes) const;
  llvm::Value* load(const Stmt& stmt, Point& point, const Lanes& lanes);
  void store(const Access& access, llvm::Value* value, Point& point, const Lanes& lanes);
  void accumulate(const Stmt& stmt, Point& point, const Lanes& lanes, llvm::Value* starting);
  void accumulate_serially(const Stmt& stmt, Point& point, const Lanes& lanes, llvm::Value* starting);
  llvm::Value* place(const Access& access, Point& point, llvm::Value* displacement);
  llvm::Value* guard_mask(const Guard& guard, Point& point, const Lanes& lanes, int width);
  llvm::Value* affine_lanes(const Affine& at, Point& point, const Lanes& lanes, int width);
  // Scalar displacement (null: none) and displacement per lane (null: none) from the indirect indices of an access.
  void displacement(const Access& access, const Lanes& lanes, llvm::Value*& scalar, llvm::Value*& vector);
  llvm::Value* lane_pointers(llvm::Value* base, llvm::Type* element, int64_t stride, llvm::Value* displacement, int width);
  llvm::Value* read(llvm::Value* pointer, Element element, int64_t stride, llvm::Value* displacement, llvm::Value* mask, int width);
  llvm::Value* random(const Stmt& stmt, Point& point, const Lanes& lanes, int width);
  llvm::Value* to_register(llvm::Value* value, Element element);
  llvm::Value* to_memory(llvm::Value* value, Element element);

  Builder& b_;
  const KernelBody& body_;
  std::vector<llvm::Value*> slots_, sites_;
  llvm::DILocalScope* scope_;
  std::unordered_map<const Stmt*, unsigned> lines_;
  std::map<std::pair<llvm::Value*, int>, llvm::Value*> spread_;
};

class LineTable;

// Everything the code of one body is made of. The forms' emitters start where the builder stands (the entry block, slots loaded)
// and leave it in the block that returns, without a terminator.
struct BodyContext {
  const KernelBody& body;
  const Target& target;
  llvm::Function* function;
  Builder& builder;
  StatementEmitter& statements;
  LineTable* lines;      // null: no debug information
  llvm::Value* begin;    // i64, first block
  llvm::Value* end;      // i64, past the last
  llvm::Value* scratch;  // ptr
};

void emit_nest(const Nest& nest, BodyContext& context);
// contraction.h declares emit_contraction(const Contraction&, BodyContext&) and contraction_scratch_bytes(const Contraction&, const Target&).

// Lanes of one register for the element.
inline int lanes_of(const Target& target, Element element) {
  int lanes = target.vector_bytes / static_cast<int>(byte_size(element));
  return lanes < 1 ? 1 : lanes;
}

// One scalar operation on values of equal width; `element` is the operands' element (Select: of its arms), `to` the result's.
llvm::Value* emit_scalar_op(Builder& builder, ScalarOp op, Element element, Element to, llvm::ArrayRef<llvm::Value*> args);
// A constant of the register type, spread over `width` lanes.
llvm::Value* emit_constant(Builder& builder, Element element, double value, int width);

// Keeps LLVM from unrolling or vectorising a loop: put on the branch back to its head.
void mark_final_loop(llvm::Instruction* latch);

}  // namespace gradc
