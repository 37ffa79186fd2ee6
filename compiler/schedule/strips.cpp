#include "compiler/schedule/strips.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <tuple>

#include "compiler/schedule/cut.h"
#include "compiler/schedule/panels.h"

namespace gradc::scheduling {
namespace {

constexpr int64_t most_strips = 64;
constexpr int64_t enough_strips = 8;  // for threads to share out
constexpr int64_t fewest_rows = 64;  // of a strip: products with fewer put weights in place more often than they use them
// Values of so many L2 caches and less stay in the last cache that all of a processor's kernels share.
constexpr int64_t large_in_caches = 4;

int64_t size_of(const Buffer& b) { return b.type.count() * static_cast<int64_t>(byte_size(b.type.element)); }

// Kernels in three ranks: what the strips need, what works on strips, and what needs more than a strip of a result.
struct Group {
  std::vector<size_t> before, inside, after;
  std::vector<Cut> cuts;      // of those inside
  std::set<BufferId> locals;  // what lives within a strip
  int64_t local_bytes = 0;    // the most of them alive at once, if all rows were one strip
  int64_t written_local = 0;  // bytes of all of them
  int64_t read_whole = 0;     // bytes that every strip reads
  int64_t partial = 0;        // bytes that every strip leaves of its sums
};

// By kernel, by dim: how it can be cut along it.
using Cuts = std::vector<std::vector<std::optional<Cut>>>;

Cuts cuts_of(const StepPlan& step) {
  Cuts out;
  for (const RawKernel& kernel : step.kernels) {
    const size_t dims = std::visit([](const auto& form) { return form.dims.size(); }, kernel.body.form);
    std::vector<std::optional<Cut>>& list = out.emplace_back();
    for (size_t d = 0; d < dims; ++d) list.push_back(cut_along(kernel, step.memory, static_cast<int>(d)));
  }
  return out;
}

class Grouping {
 public:
  // Of the kernels from `first` on. `known`: what holds rows of the batch; what is found to is added.
  Grouping(const StepPlan& step, const Cuts& cuts, size_t first, std::set<BufferId>& known, int64_t strips) : step_(step), cuts_(cuts), known_(known), strips_(strips) {
    for (size_t k = first; k < step.kernels.size(); ++k) place(k);
    find_locals();
    for (const auto& [b, share] : written_) {
      if (share == Share::Part) known_.insert(b);
    }
  }

  Group group;

 private:
  const Buffer& buffer(BufferId b) const { return step_.memory.buffers[b.at()]; }

  void place(size_t k) {
    if (joins(k)) return;
    const RawKernel& kernel = step_.kernels[k];
    bool later = false;
    for (size_t i = 0; i < kernel.buffers.size(); ++i) {
      const bool written = kernel.body.slots[i].written;
      later |= waits(kernel.buffers[i], written) || written_.count(kernel.buffers[i]) != 0 || (written && read_.count(kernel.buffers[i]) != 0);
    }
    if (!later) return group.before.push_back(k);
    group.after.push_back(k);
    for (size_t i = 0; i < kernel.buffers.size(); ++i) is_late(kernel.buffers[i], kernel.body.slots[i].written);
  }

  void is_late(BufferId b, bool written) { (written ? late_written_ : late_read_).insert(b); }
  // Whether those behind the loop make it, or read what would be changed.
  bool waits(BufferId b, bool written) const { return late_written_.count(b) || (written && late_read_.count(b)); }

  bool joins(size_t k) {
    const RawKernel& kernel = step_.kernels[k];
    for (const std::optional<Cut>& cut : cuts_[k]) {
      if (!cut || !cut->divides(strips_) || !fits(kernel, *cut)) continue;
      for (size_t i = 0; i < kernel.buffers.size(); ++i) note(kernel.buffers[i], cut->slots[i], kernel.body.slots[i].written);
      group.inside.push_back(k);
      group.cuts.push_back(*cut);
      return true;
    }
    return false;
  }

  void note(BufferId b, Share share, bool written) {
    if (share == Share::None || share == Share::Sum) {
      is_late(b, written);
      behind_.insert(b);
    } else if (written) {
      written_[b] = share;
    } else {
      read_[b] |= share == Share::Whole;
    }
  }

  bool is_rows(BufferId b) const {
    auto made = written_.find(b);
    return made != written_.end() ? made->second == Share::Part : known_.count(b) != 0;
  }

  // What it has of the batch are the same rows as others have.
  bool fits(const RawKernel& kernel, const Cut& cut) const {
    bool rows = false;
    for (size_t i = 0; i < kernel.buffers.size(); ++i) {
      const BufferId b = kernel.buffers[i];
      const Share share = cut.slots[i];
      const bool written = kernel.body.slots[i].written;
      const auto made = written_.find(b);
      if (share == Share::None) continue;
      if (share == Share::Sum) {
        if (made != written_.end()) return false;
        continue;
      }
      if (waits(b, written)) return false;
      if (made != written_.end() && (share != Share::Part || made->second != Share::Part)) return false;
      if (auto seen = read_.find(b); written && seen != read_.end() && (seen->second || share != Share::Part)) return false;
      rows |= share == Share::Part && is_rows(b);
    }
    return rows;
  }

  void find_locals() {
    std::map<BufferId, std::pair<size_t, size_t>> life;  // first and last of those inside
    std::set<BufferId> whole;
    for (size_t i = 0; i < group.inside.size(); ++i) {
      const RawKernel& kernel = step_.kernels[group.inside[i]];
      for (size_t s = 0; s < kernel.buffers.size(); ++s) {
        const BufferId b = kernel.buffers[s];
        life.try_emplace(b, i, i).first->second.second = i;
        const Share share = group.cuts[i].slots[s];
        if (share == Share::Whole && whole.insert(b).second) group.read_whole += size_of(buffer(b));
        if (share == Share::Sum) group.partial += size_of(buffer(b));
      }
    }
    std::set<size_t> inside(group.inside.begin(), group.inside.end());
    std::set<BufferId> elsewhere = behind_;
    for (size_t k = 0; k < step_.kernels.size(); ++k) {
      if (!inside.count(k)) elsewhere.insert(step_.kernels[k].buffers.begin(), step_.kernels[k].buffers.end());
    }
    std::vector<int64_t> change(group.inside.size() + 1, 0);
    for (const auto& [b, share] : written_) {
      const bool part = share == Share::Part || share == Share::Block;
      if (!part || buffer(b).kind != BufferKind::Temporary || elsewhere.count(b)) continue;
      group.locals.insert(b);
      group.written_local += size_of(buffer(b));
      change[life.at(b).first] += size_of(buffer(b));
      change[life.at(b).second + 1] -= size_of(buffer(b));
    }
    int64_t alive = 0;
    for (int64_t c : change) group.local_bytes = std::max(group.local_bytes, alive += c);
  }

  const StepPlan& step_;
  const Cuts& cuts_;
  std::set<BufferId>& known_;
  int64_t strips_;
  std::map<BufferId, Share> written_;  // by those inside
  std::map<BufferId, bool> read_;      // by those inside: whether all of it by each strip
  std::set<BufferId> late_written_, late_read_, behind_;
};

class StripCutter {
 public:
  explicit StripCutter(StepPlan& step) : step_(step), cuts_(cuts_of(step)) {}

  // Loops go along one batch.
  void run() {
    for (int64_t rows : row_counts()) {
      if (!step_.loops.empty()) return;
      std::set<BufferId> known = data_of(rows);
      for (std::optional<size_t> next = 0; next;) next = from(*next, rows, known);
    }
  }

 private:
  // Cuts what can be cut together, from the kernel at `first` on, where that pays. Returns the first of those that have to wait for it:
  // they may be cut together in turn.
  std::optional<size_t> from(size_t first, int64_t rows, std::set<BufferId>& known) {
    std::optional<size_t> waiting;
    std::optional<Group> best;
    std::tuple<int64_t, bool, int64_t> best_worth;
    for (int64_t n : strip_counts(rows)) {
      Group g = Grouping(step_, cuts_, first, known, n).group;
      if (!waiting && !g.after.empty()) waiting = g.after.front();
      if (!forced() && g.local_bytes < large_in_caches * step_.target.l2_bytes) continue;
      if (!pays(g, n)) continue;
      // The most that is local, then strips that fit and are enough, then the fewest.
      const bool good = n >= enough_strips && g.local_bytes / n <= step_.target.l2_bytes * 5 / 4;
      const std::tuple worth{g.written_local, good, -n};
      if (!best || worth > best_worth) best = std::move(g), best_worth = worth;
    }
    return best ? std::optional(apply(first, *best, -std::get<2>(best_worth))) : waiting;
  }

  bool forced() const { return step_.options.strips > 1; }

  std::set<BufferId> data_of(int64_t rows) const {
    std::set<BufferId> found;
    for (size_t i = 0; i < step_.memory.buffers.size(); ++i) {
      const Buffer& b = step_.memory.buffers[i];
      if (b.kind == BufferKind::Input && b.type.rank() > 0 && b.type.size(0) == rows) found.insert(BufferId(i));
    }
    return found;
  }

  // Of the batches that the data consists of, the largest first.
  std::vector<int64_t> row_counts() const {
    std::set<int64_t> found;
    for (const Buffer& b : step_.memory.buffers) {
      if (b.kind == BufferKind::Input && b.type.rank() > 0 && b.type.size(0) > 1) found.insert(b.type.size(0));
    }
    return {found.rbegin(), found.rend()};
  }

  std::vector<int64_t> strip_counts(int64_t rows) const {
    if (forced()) return rows % step_.options.strips == 0 ? std::vector<int64_t>{step_.options.strips} : std::vector<int64_t>{};
    std::vector<int64_t> counts;
    for (int64_t n = 2; n <= most_strips && rows / n >= fewest_rows; ++n) {
      if (rows % n == 0) counts.push_back(n);
    }
    return counts;
  }

  // Strips save the way to memory of what is local to them; in return each reads the weights and leaves its partial sums.
  bool pays(const Group& g, int64_t strips) const {
    if (g.inside.size() < 2 || g.locals.empty()) return false;
    if (forced()) return true;
    return g.local_bytes / strips <= 2 * step_.target.l2_bytes && g.written_local >= strips * (g.read_whole + 2 * g.partial);
  }

  Type part_of(const Type& type, int64_t strips) const {
    Type part = type;
    if (type.rank() > 0 && type.size(0) % strips == 0) {
      part.dims[0].size /= strips;
    } else {
      part.dims = {Dim{type.count() / strips, {}}};
    }
    return part;
  }

  size_t apply(size_t first, const Group& g, int64_t strips) {
    std::vector<RawKernel> old(std::make_move_iterator(step_.kernels.begin() + static_cast<std::ptrdiff_t>(first)), std::make_move_iterator(step_.kernels.end()));
    step_.kernels.resize(first);
    auto kernel = [&](size_t k) -> RawKernel& { return old[k - first]; };
    for (size_t k : g.before) step_.kernels.push_back(std::move(kernel(k)));

    const size_t loop = step_.loops.size();
    const auto begin = static_cast<int32_t>(step_.kernels.size());
    step_.loops.push_back({Symbol("strips"), begin, begin, strips, true});
    std::map<size_t, std::vector<RawKernel>> after;  // by the kernel that they come from
    std::vector<Pieces> pieces;
    for (size_t i = 0; i < g.inside.size(); ++i) pieces.push_back(cut(kernel(g.inside[i]), g.cuts[i], strips, step_));
    for (BufferId b : g.locals) {
      Buffer& local = step_.memory.buffers[b.at()];
      local.kind = BufferKind::Local;
      local.type = part_of(local.type, strips);
    }
    for (size_t i = 0; i < pieces.size(); ++i) {
      Pieces& p = pieces[i];
      for (size_t s = 0; s < p.moves.size(); ++s) {
        if (p.moves[s]) p.part.buffers[s] = strip_of(p.part.buffers[s], strips, static_cast<int32_t>(loop));
      }
      if (g.cuts[i].sums) {  // the name stays with what gives the named value whole
        p.part.name = step_.unique(p.part.name.str() + ".strip");
      } else {
        for (RawKernel& c : p.combine) c.name = step_.unique(c.name.str());
      }
      step_.kernels.push_back(std::move(p.part));
      after[g.inside[i]] = std::move(p.combine);
    }
    step_.loops[loop].end = static_cast<int32_t>(step_.kernels.size());
    hoist_panels(step_, loop);
    const auto rest = static_cast<size_t>(step_.loops[loop].end);
    for (size_t k : g.after) after[k].push_back(std::move(kernel(k)));
    for (auto& [_, list] : after) std::move(list.begin(), list.end(), std::back_inserter(step_.kernels));
    cuts_ = cuts_of(step_);
    return rest;
  }

  // A strip of a buffer that holds all rows.
  BufferId strip_of(BufferId whole, int64_t strips, int32_t loop) {
    const Buffer b = step_.memory.buffers[whole.at()];
    if (b.kind == BufferKind::Local) return whole;
    const BufferId& known = windows_[{loop, whole}];
    if (known) return known;
    const int64_t bytes = size_of(b) / strips;
    return windows_[{loop, whole}] = step_.memory.add_window(b.name, part_of(b.type, strips), whole, {0, {{loop, bytes}}});
  }

  StepPlan& step_;
  Cuts cuts_;
  std::map<std::pair<int32_t, BufferId>, BufferId> windows_;
};

}  // namespace

void cut_into_strips(StepPlan& step) {
  if (step.options.strips == 1 || !step.options.fuse || !step.loops.empty()) return;
  int64_t temporaries = 0;
  for (const Buffer& b : step.memory.buffers) temporaries += b.kind == BufferKind::Temporary ? size_of(b) : 0;
  if (step.options.strips == 0 && temporaries < large_in_caches * step.target.l2_bytes) return;
  StripCutter(step).run();
}

}  // namespace gradc::scheduling
