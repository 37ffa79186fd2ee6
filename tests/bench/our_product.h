#pragma once

#include <cstdlib>
#include <memory>
#include <vector>

#include "compiler/jit/jit.h"
#include "compiler/jit/tiles.h"
#include "compiler/schedule/build.h"
#include "tests/support/contraction_body.h"

// One product of ours, compiled in the tiles that the tool chooses for so many threads, for the benchmarks of products alone.
namespace gradc::bench {

class OurProduct {
 public:
  // `change` may give the form other tiles.
  template <class F>
  OurProduct(const test::ProductShape& shape, const Target& target, int threads, F change) {
    KernelBody body = test::product_body(shape, target);
    auto& form = std::get<Contraction>(body.form);
    const auto t = scheduling::choose_tiles(target, shape.element, shape.batch, shape.m, shape.n, shape.k);
    form.mr = t.mr, form.nr = t.nr, form.kc = t.kc, form.block_m = t.block_m, form.block_n = t.block_n;
    const Type row{shape.element, {{1, {}}}};
    KernelProgram program = test::program_of(std::move(body), target, {row, row, row});
    suit_threads(program, threads);
    change(std::get<Contraction>(program.bodies[0].form));
    step_ = compile(program, {});
  }
  OurProduct(const test::ProductShape& shape, const Target& target, int threads) : OurProduct(shape, target, threads, [](Contraction&) {}) {}

  int64_t scratch_bytes() const { return step_->scratch_bytes(); }
  // Without a way to hand out blocks, all of them one after the other.
  void run(const float* lhs, const float* rhs, float* out, void* scratch, GradcParallelFn parallel = nullptr, void* pool = nullptr) const {
    void* buffers[] = {const_cast<float*>(lhs), const_cast<float*>(rhs), out};
    GradcFrame frame{buffers, parallel, pool, scratch, nullptr, nullptr};
    step_->entry()(&frame);
  }

 private:
  std::unique_ptr<CompiledStep> step_;
};

}  // namespace gradc::bench
