#include <algorithm>

#include "compiler/schedule/cluster.h"
#include "compiler/support/error.h"

// Who comes before whom. A merge may not close a circle, so every merge asks for paths between two clusters, and models have
// thousands of clusters. Three things keep an answer from walking the whole graph:
//   - all clusters stand in one line, each after those it depends on; only what stands between two can lie on a path between
//     them. A merge moves the smaller of what has to come before and what has to come after;
//   - searches go from both ends in turn and stop when either is exhausted;
//   - items form a tree, each below the latest of those it uses. What stands above another there precedes it: merging only adds
//     paths. In a deep network nearly everything stands below nearly all that comes before it.
namespace gradc::scheduling {
namespace {

constexpr int64_t gap = int64_t{1} << 32;

size_t at(int c) { return static_cast<size_t>(c); }

}  // namespace

template <class F>
void Clusters::successors(int c, F visit) const {
  for (const Member& m : clusters_[at(c)].members) {
    for (const auto* list : {&users_[at(m.item)], &before_[at(m.item)]}) {
      for (int item : *list) {
        if (cluster_of(item) != c) visit(cluster_of(item));
      }
    }
  }
}

template <class F>
void Clusters::predecessors(int c, F visit) const {
  for (const Member& m : clusters_[at(c)].members) {
    for (const Use& u : work_.items[at(m.item)].uses) {
      int item = work_.item_of[u.node.at()];
      if (item >= 0 && cluster_of(item) != c) visit(cluster_of(item));
    }
    for (int item : after_[at(m.item)]) {
      if (cluster_of(item) != c) visit(cluster_of(item));
    }
  }
}

void Clusters::line_up() {
  const size_t count = work_.items.size();
  std::vector<int> above(count, -1), size(count, 1), next(count);
  for (size_t i = 0; i < count; ++i) {
    for (const Use& u : work_.items[i].uses) above[i] = std::max(above[i], work_.item_of[u.node.at()]);
  }
  for (size_t i = count; i-- > 0;) {
    if (above[i] >= 0) size[at(above[i])] += size[i];
  }
  int roots = 0;
  for (size_t i = 0; i < count; ++i) {
    int& place = above[i] >= 0 ? next[at(above[i])] : roots;
    tree_.push_back({place, place + size[i]});
    next[i] = place + 1;
    place += size[i];
    line_.push_back({static_cast<int>(i) - 1, i + 1 < count ? static_cast<int>(i) + 1 : -1, static_cast<int64_t>(i + 1) * gap});
  }
  down_.assign(count, 0);
  up_.assign(count, 0);
}

// A cluster that has just been added takes its place behind another.
void Clusters::stand_behind(int added, int other) {
  tree_.push_back({-1, -1});
  line_.emplace_back();
  down_.push_back(0);
  up_.push_back(0);
  link_after(added, other);
}

// Whether the tree shows that a value of one leads to one of the other.
bool Clusters::stands_above(int a, int b) const {
  for (const Member& m : clusters_[at(a)].members) {
    const auto [first, end] = tree_[at(m.item)];
    for (const Member& n : clusters_[at(b)].members) {
      if (tree_[at(n.item)].first > first && tree_[at(n.item)].first < end) return true;
    }
  }
  return false;
}

bool Clusters::reaches(int from, int to, bool indirect) const {
  const int64_t low = line_[at(from)].label, high = line_[at(to)].label;
  if (low >= high) return false;
  const uint32_t now = ++epoch_;
  std::vector<int> down{from}, up{to};
  down_[at(from)] = up_[at(to)] = now;
  bool found = false;
  while (!down.empty() && !up.empty()) {
    int c = down.back();
    down.pop_back();
    successors(c, [&](int next) {
      if (next == to) found |= !(indirect && c == from);
      if (line_[at(next)].label >= high || down_[at(next)] == now) return;
      found |= up_[at(next)] == now || stands_above(next, to);
      down_[at(next)] = now;
      down.push_back(next);
    });
    if (found) return true;
    c = up.back();
    up.pop_back();
    predecessors(c, [&](int next) {
      if (next == from) found |= !(indirect && c == to);
      if (line_[at(next)].label <= low || up_[at(next)] == now) return;
      found |= down_[at(next)] == now;
      up_[at(next)] = now;
      up.push_back(next);
    });
    if (found) return true;
  }
  return false;
}

Clusters::Between Clusters::between(int from, int to) const {
  const int64_t high = line_[at(to)].label;
  std::vector<int> open{from}, walls;
  std::vector<bool>& seen = open_;
  seen.resize(clusters_.size());
  seen[at(from)] = true;
  bool blocked = false;
  for (size_t i = 0; i < open.size() && !blocked; ++i) {
    successors(open[i], [&](int next) {
      if (blocked || line_[at(next)].label >= high || seen[at(next)]) return;
      const Cluster& c = clusters_[at(next)];
      const bool wall = !fuses(c) || is_contraction(c);
      seen[at(next)] = true;
      (wall ? walls : open).push_back(next);
      blocked = wall && stands_above(next, to);
    });
  }
  for (int c : open) seen[at(c)] = false;
  for (int c : walls) seen[at(c)] = false;
  for (size_t i = 0; i < walls.size() && !blocked; ++i) blocked = reaches(walls[i], to, false);
  if (blocked) return {true, {}};
  // Of what was reached, that which leads on to the end.
  for (int c : open) seen[at(c)] = true;
  std::vector<int> parts{to};
  for (size_t i = 0; i < parts.size(); ++i) {
    predecessors(parts[i], [&](int next) {
      if (!seen[at(next)]) return;
      seen[at(next)] = false;
      parts.push_back(next);
    });
  }
  for (int c : open) seen[at(c)] = false;
  parts.erase(parts.begin());
  std::sort(parts.begin(), parts.end());
  return {false, std::move(parts)};
}

void Clusters::unlink(int c) {
  const auto [before, after, label] = line_[at(c)];
  if (before >= 0) line_[at(before)].after = after;
  if (after >= 0) line_[at(after)].before = before;
}

void Clusters::link_after(int c, int before) {
  const int after = line_[at(before)].after;
  const int64_t low = line_[at(before)].label;
  line_[at(c)] = {before, after, after >= 0 ? low + (line_[at(after)].label - low) / 2 : low + gap};
  line_[at(before)].after = c;
  if (after >= 0) line_[at(after)].before = c;
  if (line_[at(c)].label != low) return;
  int first = c;
  while (line_[at(first)].before >= 0) first = line_[at(first)].before;
  int64_t label = 0;
  for (int i = first; i >= 0; i = line_[at(i)].after) line_[at(i)].label = label += gap;
}

// Makes room between two clusters that are about to stand in one place, or in the opposite order: what stands between them and
// follows `starts_down` moves behind the later, or what precedes `starts_up` in front of the earlier, whichever is less.
// Returns true where it is the former.
bool Clusters::make_room(int early, int late, std::vector<int> starts_down, std::vector<int> starts_up) {
  const int64_t low = line_[at(early)].label, high = line_[at(late)].label;
  const uint32_t now = ++epoch_;
  const size_t skip_down = starts_down.size(), skip_up = starts_up.size();
  for (int c : starts_down) down_[at(c)] = now;
  for (int c : starts_up) up_[at(c)] = now;
  std::vector<int> down = std::move(starts_down), up = std::move(starts_up);
  auto within = [&](int c) { return line_[at(c)].label > low && line_[at(c)].label < high; };
  size_t i = 0;
  for (; i < down.size() && i < up.size(); ++i) {
    successors(down[i], [&](int next) {
      if (within(next) && down_[at(next)] != now) down_[at(next)] = now, down.push_back(next);
    });
    predecessors(up[i], [&](int next) {
      if (within(next) && up_[at(next)] != now) up_[at(next)] = now, up.push_back(next);
    });
  }
  const bool behind = i >= down.size();
  std::vector<int> moved = behind ? std::vector<int>(down.begin() + static_cast<std::ptrdiff_t>(skip_down), down.end())
                                  : std::vector<int>(up.begin() + static_cast<std::ptrdiff_t>(skip_up), up.end());
  std::sort(moved.begin(), moved.end(), [&](int a, int b) { return line_[at(a)].label < line_[at(b)].label; });
  for (int c : moved) unlink(c);
  int anchor = behind ? late : line_[at(early)].before;
  if (anchor < 0 && !moved.empty()) {
    // Nothing stands in front: the first moves there, then the others follow it.
    anchor = moved.front();
    line_[at(anchor)] = {-1, early, line_[at(early)].label - gap};
    line_[at(early)].before = anchor;
    moved.erase(moved.begin());
  }
  for (int c : moved) {
    link_after(c, anchor);
    anchor = c;
  }
  return behind;
}

// `second` has to come after `first`, and no path leads the other way.
void Clusters::put_in_order(int first, int second) {
  if (line_[at(first)].label < line_[at(second)].label) return;
  const bool behind = make_room(second, first, {second}, {first});
  const int moving = behind ? second : first;
  unlink(moving);
  // Room was made right behind `first`, or right in front of `second`.
  if (behind) return link_after(moving, first);
  const int before = line_[at(second)].before;
  if (before >= 0) return link_after(moving, before);
  line_[at(moving)] = {-1, second, line_[at(second)].label - gap};
  line_[at(second)].before = moving;
}

// The parts, `by` among them, are about to become one.
void Clusters::stand_together(const std::vector<int>& parts, int by) {
  auto earlier = [&](int a, int b) { return line_[at(a)].label < line_[at(b)].label; };
  const int early = *std::min_element(parts.begin(), parts.end(), earlier), late = *std::max_element(parts.begin(), parts.end(), earlier);
  const int place = make_room(early, late, parts, parts) ? late : early;
  for (int c : parts) {
    if (c != place) unlink(c);
  }
  if (place == by) return;
  line_[at(by)] = line_[at(place)];
  if (line_[at(by)].before >= 0) line_[at(line_[at(by)].before)].after = by;
  if (line_[at(by)].after >= 0) line_[at(line_[at(by)].after)].before = by;
}

void Clusters::check_stand([[maybe_unused]] int c) const {
#ifndef NDEBUG
  const int64_t here = line_[at(c)].label;
  successors(c, [&](int next) { GRADC_ASSERT(here < line_[at(next)].label, "a kernel stands behind what waits for it"); });
  predecessors(c, [&](int next) { GRADC_ASSERT(line_[at(next)].label < here, "a kernel stands before what it waits for"); });
#endif
}

}  // namespace gradc::scheduling
