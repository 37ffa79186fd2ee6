// How many kernels the workloads take, and what went into them. The numbers are counts of what the models need, each explained where
// it stands: a change that makes a kernel more or less has to say here which.
#include <algorithm>
#include <set>

#include <catch2/catch.hpp>

#include "tests/workloads/support.h"

using namespace gradc;
using namespace gradc::test;

namespace {

int count_of(const KernelProgram& p, StmtKind kind, const KernelInstance& call) {
  const auto all = statements(p[call.body]);
  return static_cast<int>(std::count_if(all.begin(), all.end(), [&](const Stmt* s) { return s->kind == kind; }));
}

// Parameters that a contraction, or else a nest, writes the next value of.
std::set<std::string> updated(const KernelProgram& p, bool by_contractions) {
  std::set<std::string> names;
  for (const KernelInstance& call : p.instances) {
    for (size_t slot = 0; slot < call.buffers.size(); ++slot) {
      const Buffer& b = p[call.buffers[slot]];
      if (b.kind == BufferKind::Parameter && p[call.body].slots[slot].written && is_contraction(p, call) == by_contractions) names.insert(b.name.str());
    }
  }
  return names;
}

size_t buffers_of(const KernelProgram& p, BufferKind kind) {
  return static_cast<size_t>(std::count_if(p.buffers.begin(), p.buffers.end(), [&](const Buffer& b) { return b.kind == kind; }));
}

}  // namespace

TEST_CASE("a step of mlp is 13 kernels") {
  for (const std::string& cpu : processors()) {
    const KernelProgram& p = step_of("mlp", cpu);
    // Three layers forward; the loss with the gradient of the logits and of their bias; two products back; the loss's scaling with the
    // corrections of Adam; three weights and two biases with their updates in them, and the update of the third bias, whose gradient
    // came with the loss.
    CHECK(p.instances.size() == 3 + 1 + 2 + 1 + 3 + 2 + 1);
    // Both hidden biases are one body.
    CHECK(p.bodies.size() == 12);
    CHECK(std::count_if(p.instances.begin(), p.instances.end(), [&](const KernelInstance& k) { return is_contraction(p, k); }) == 8);
    // Gradients that only feed an update are never in memory: what is left are two activations and their masks, the logits, two
    // cotangents, the bias's gradient that came with the loss, and three rows of scratch or scalars.
    CHECK(buffers_of(p, BufferKind::Temporary) == 11);
  }
}

TEST_CASE("a step of gpt is 12 kernels and 33 for each of its four layers") {
  for (const std::string& cpu : processors()) {
    const KernelProgram& p = step_of("gpt", cpu);
    // Forward: norm (the first with the embedding before it), qkv, scores, softmax, mixing, projection with the residual, norm, up with
    // gelu, down with the residual. Backward: up, down, projection and qkv turned round, and of the attention values, weights, queries
    // and keys; the softmax's; the three parts of qkv side by side; both norms with their residuals. Updates, each in the kernel of its
    // gradient: four weights, four biases, gain and shift of two norms.
    const size_t forward = 9, backward = 4 + 4 + 1 + 1 + 2, updates = 4 + 4 + 4;
    // The last norm, the logits, the loss with their gradient, and back through both; the loss's sum with the corrections of AdamW; the
    // gradient of the table (a scatter) and its update, which needs it whole; positions, the last norm's gain and shift, the logits' weight.
    const size_t outside = 3 + 2 + 1 + 2 + 4;
    CHECK(p.instances.size() == outside + 4 * (forward + backward + updates));
    // One layer's bodies do for all of them; the shifts of norms are summed by the kernel that goes back through the norm, as gains are.
    CHECK(p.bodies.size() == 39);
  }
}

TEST_CASE("updates are where their gradients are computed, unless something needs the gradient first") {
  struct Expected {
    const char* workload;
    std::set<std::string> in_products, apart;  // of parameters whose gradient is a product
  };
  const std::vector<Expected> all{
      {"mlp", {"h1.W", "h2.W", "logits.W"}, {}},
      {"mlp_wide", {"h1.W", "h2.W", "logits.W"}, {}},
      {"cnn", {"c0.W", "c1.W", "c2.W", "f0.W", "logits.W"}, {}},
      // Its rows are cut into strips, which leave partial sums: what adds them up updates.
      {"pinn", {}, {"net.0.W", "net.2.W", "net.4.W", "net.6.W"}},
      // The norm of all gradients scales each of them: none is known before all are.
      {"lstm", {}, {"hs.Wx", "hs.Wh", "logits.W"}},
  };
  for (const std::string& cpu : processors()) {
    for (const Expected& e : all) {
      INFO(e.workload << " for " << cpu);
      const KernelProgram& p = step_of(e.workload, cpu);
      CHECK(updated(p, true) == e.in_products);
      const std::set<std::string> by_nests = updated(p, false);
      for (const std::string& name : e.apart) CHECK(by_nests.count(name) == 1);
    }
    // Every convolution and every dense layer: 19 and two shortcuts and one in resnet, four in each layer of gpt and its logits.
    CHECK(updated(step_of("resnet", cpu), true).size() == 22);
    CHECK(updated(step_of("gpt", cpu), true).size() == 4 * 4 + 1);
  }
}

TEST_CASE("parameters and their moments are updated in place") {
  for (const std::string& name : workloads) {
    INFO(name);
    CHECK(buffers_of(step_of(name, "x86-64-v3"), BufferKind::Shadow) == 0);
  }
}

namespace {

// A nest that goes over one large temporary for nothing but sums of it: what it reads, else none.
BufferId summed_alone(const KernelProgram& p, const KernelInstance& call) {
  if (is_contraction(p, call) || (count_of(p, StmtKind::Reduce, call) != 1 && count_of(p, StmtKind::Accumulate, call) != 1)) return {};
  BufferId large;
  for (size_t slot = 0; slot < call.buffers.size(); ++slot) {
    const Buffer& b = p[call.buffers[slot]];
    if (b.type.count() < 16384) continue;
    if (large || b.kind != BufferKind::Temporary || p[call.body].slots[slot].written) return {};
    large = call.buffers[slot];
  }
  return large;
}

bool reads(const KernelProgram& p, const KernelInstance& call, BufferId buffer) {
  for (size_t slot = 0; slot < call.buffers.size(); ++slot) {
    if (call.buffers[slot] == buffer && !touches(p, call, slot).empty() && touches(p, call, slot).front()->kind == StmtKind::Load) return true;
  }
  return false;
}

bool writes(const KernelProgram& p, const KernelInstance& call, BufferId buffer) {
  for (size_t slot = 0; slot < call.buffers.size(); ++slot) {
    if (call.buffers[slot] == buffer && p[call.body].slots[slot].written) return true;
  }
  return false;
}

// Nothing writes the buffer between the two calls.
bool same_content(const KernelProgram& p, BufferId buffer, size_t a, size_t b) {
  for (size_t c = std::min(a, b); c < std::max(a, b); ++c) {
    if (writes(p, p.instances[c], buffer)) return false;
  }
  return true;
}

// Whether what `first` writes leads, from call to call, to something that `later` reads.
bool waits_for(const KernelProgram& p, size_t first, size_t later) {
  std::set<size_t> reached;
  for (size_t c = first; c <= later && c < p.instances.size(); ++c) {
    const KernelInstance& call = p.instances[c];
    const bool leads = c == first || std::any_of(call.buffers.begin(), call.buffers.end(), [&](BufferId b) { return reached.count(b.at()) && reads(p, call, b); });
    if (leads && c == later) return true;
    for (BufferId b : call.buffers) {
      if (leads && writes(p, call, b)) reached.insert(b.at());
    }
  }
  return false;
}

}  // namespace

TEST_CASE("sums of columns come along with a pass that reads the data anyway") {
  // What is summed by a kernel of its own has no other reader that a nest could be: products read it, or what else reads it waits for
  // the sum, as batch normalisation waits for its means.
  for (const std::string& cpu : processors()) {
    for (const std::string& name : workloads) {
      const KernelProgram& p = step_of(name, cpu);
      for (size_t sum = 0; sum < p.instances.size(); ++sum) {
        const BufferId data = summed_alone(p, p.instances[sum]);
        if (!data) continue;
        for (size_t other = 0; other < p.instances.size(); ++other) {
          const KernelInstance& call = p.instances[other];
          if (other == sum || is_contraction(p, call) || !reads(p, call, data) || !same_content(p, data, sum, other) || waits_for(p, sum, other)) continue;
          INFO(name << " for " << cpu << ": " << p.instances[sum].name.str() << " sums " << p[data].name.str() << ", which " << call.name.str() << " reads");
          CHECK(false);
        }
      }
    }
  }
}
