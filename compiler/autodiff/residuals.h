#pragma once

#include <set>

#include "compiler/autodiff/swept_body.h"

namespace gradc {

// Where a reversed scan gets the primal values that it reads.
class Residuals {
 public:
  enum class Source : uint8_t {
    None,     // not needed
    Read,     // a constant, or an element of a sequence, as in the scan itself
    Emitted,  // by the scan, kept for all steps
    Again,    // computed again
  };
  // `stacked` are primal values that are needed for all steps in any case. With `recompute` only carries are kept.
  Residuals(const SweptBody& body, const ScanLayout& layout, const std::set<NodeId>& stacked, bool recompute)
      : body_(body), layout_(layout), recompute_(recompute), source_(body.graph.size(), Source::None) {
    for (NodeId id : stacked) emit(id);
  }

  // Decides for values that the reversed scan reads, and for all that they are computed again from.
  void require(const std::set<NodeId>& values);

  Source source(NodeId id) const { return source_[id.at()]; }
  const std::set<NodeId>& emitted() const { return emitted_; }

 private:
  void emit(NodeId id);
  void again(NodeId id);
  void resolve(NodeId id);
  bool available(NodeId id, int depth) const;
  bool is_view(NodeId id) const;
  bool is_cheap(NodeId id) const;

  const SweptBody& body_;
  const ScanLayout& layout_;
  bool recompute_;
  std::vector<Source> source_;
  std::set<NodeId> emitted_;
};

}  // namespace gradc
