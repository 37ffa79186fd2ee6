#include "frontend/cli/memory.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <optional>
#include <set>

#include "compiler/support/text.h"

namespace gradc::cli {
namespace {

int64_t bytes_of(const Type& t) { return t.count() * static_cast<int64_t>(byte_size(t.element)); }

std::string human(int64_t bytes) { return human_bytes(static_cast<double>(bytes)); }

// What a loop goes through a part at a time, "64 x 32768", or with a carry that changes places "in turns".
std::vector<std::string> moves_of(const KernelProgram& program) {
  std::vector<std::string> out(program.buffers.size());
  for (const KernelInstance& k : program.instances) {
    for (size_t slot = 0; slot < k.places.size(); ++slot) {
      std::string text;
      for (const Move& m : k.places[slot].moves) {
        const std::string step = m.period > 0 ? "in turns" : fmt::format("{} x {}", program.loops[static_cast<size_t>(m.loop)].trips, std::abs(m.stride));
        text += (text.empty() ? "" : ", ") + step;
      }
      std::string& known = out[k.buffers[slot].at()];
      if (text.size() > known.size()) known = text;
    }
  }
  return out;
}

// A buffer that a loop fills trip by trip.
struct Kept {
  int64_t trip_bytes = 0, first = 0;
  bool carried = false;           // the next trip reads it
  std::set<size_t> by;            // loops behind that read it
  std::optional<size_t> outside;  // the first call behind, and in no loop, that reads it
  bool read() const { return outside || !by.empty(); }
};

class LoopMemory {
 public:
  explicit LoopMemory(const KernelProgram& program) : program_(program), kept_(program.loops.size()) {
    visit([&](const Slot& s, BufferId buffer, int64_t offset, const Move& m) {
      if (!s.written) return;
      Kept& k = kept_[static_cast<size_t>(m.loop)][buffer.at()];
      k.trip_bytes = std::abs(m.stride);
      k.first = offset;
    });
    visit([&](const Slot& s, BufferId buffer, int64_t offset, const Move& m) {
      Kept* k = s.written ? nullptr : find(static_cast<size_t>(m.loop), buffer);
      if (k && std::abs(offset - k->first) == k->trip_bytes) k->carried = true;
    });
    for (size_t i = 0; i < program.instances.size(); ++i) find_readers(i);
  }

  std::string text() const {
    std::string out;
    for (size_t l = 0; l < kept_.size(); ++l) out += text_of(l);
    if (out.empty()) return out;
    return fmt::format("\n{:<40} {:<24} {:>12} {:>12}  {}\n", "kept of the trips of a loop", "of one trip", "bytes", "in all", "for") + out;
  }

 private:
  // All windows that move forwards or backwards with a loop.
  template <class F>
  void visit(F f) const {
    for (const KernelInstance& k : program_.instances) {
      for (size_t slot = 0; slot < k.places.size(); ++slot) {
        for (const Move& m : k.places[slot].moves) {
          if (m.period == 0 && m.stride != 0) f(program_[k.body].slots[slot], k.buffers[slot], k.places[slot].offset, m);
        }
      }
    }
  }

  Kept* find(size_t loop, BufferId buffer) {
    auto it = kept_[loop].find(buffer.at());
    return it == kept_[loop].end() ? nullptr : &it->second;
  }

  bool holds(size_t loop, size_t instance) const {
    const CallLoop& l = program_.loops[loop];
    return static_cast<size_t>(l.begin) <= instance && instance < static_cast<size_t>(l.end);
  }
  bool inside(size_t inner, size_t outer) const {
    const CallLoop &a = program_.loops[inner], &b = program_.loops[outer];
    return inner != outer && b.begin <= a.begin && a.end <= b.end && inner > outer;
  }
  std::optional<size_t> parent(size_t loop) const {
    std::optional<size_t> out;
    for (size_t l = 0; l < loop; ++l) {
      if (inside(loop, l)) out = l;
    }
    return out;
  }

  // A call behind a loop reads what the loop kept: for the outermost loop that holds the call and not the other.
  void find_readers(size_t instance) {
    const KernelInstance& k = program_.instances[instance];
    for (size_t slot = 0; slot < k.buffers.size(); ++slot) {
      if (program_[k.body].slots[slot].written) continue;
      for (size_t l = 0; l < kept_.size(); ++l) {
        Kept* kept = find(l, k.buffers[slot]);
        if (!kept || instance < static_cast<size_t>(program_.loops[l].end)) continue;
        std::optional<size_t> reader;
        for (size_t other = program_.loops.size(); other-- > 0;) {
          if (holds(other, instance) && !inside(l, other)) reader = other;
        }
        if (reader) kept->by.insert(*reader);
        else if (!kept->outside) kept->outside = instance;
      }
    }
  }

  std::string text_of(size_t l) const {
    const CallLoop& loop = program_.loops[l];
    std::string rows;
    int64_t total = 0;
    for (const auto& [id, k] : kept_[l]) {
      if (!k.read()) continue;
      const Buffer& b = program_.buffers[id];
      const int64_t all = k.trip_bytes * loop.trips;
      total += all;
      std::vector<std::string> readers;
      for (size_t r : k.by) readers.push_back(fmt::format("l{}", r));
      if (k.outside) readers.push_back("the rest");
      Type trip = b.type;
      while (!trip.dims.empty() && bytes_of(trip) > k.trip_bytes) trip.dims.erase(trip.dims.begin());
      rows += fmt::format("  {:<38} {:<24} {:>12} {:>12}  {}{}\n", b.name, bytes_of(trip) == k.trip_bytes ? to_string(trip) : gradc::name(trip.element), k.trip_bytes, all,
                          k.carried ? "the next trip, " : "", fmt::join(readers, ", "));
    }
    if (rows.empty()) return "";
    const std::optional<size_t> outer = parent(l);
    std::string out = fmt::format("l{} \"{}\", {} trips{}: {}\n", l, loop.name, loop.trips, outer ? fmt::format(" in l{}", *outer) : "", human(total));
    if (outer && made_anew(l, *outer)) {
      const int64_t trips = program_.loops[*outer].trips;
      out += fmt::format("  made anew on each of the {} trips of l{}, which would be {} at once\n", trips, *outer, human(total * trips));
    }
    return out + rows + (outer ? "" : savings(l, total));
  }

  // Whether what a loop keeps lies at the same place on each trip of the loop around.
  bool made_anew(size_t l, size_t outer) const {
    return std::all_of(kept_[l].begin(), kept_[l].end(), [&](const auto& entry) { return !entry.second.read() || !kept_[outer].count(entry.first); });
  }

  // What `recompute` and `recompute every k` would leave: of T trips, the carries of every k-th, and all values of k trips at a time. What
  // is read before the derivative's loop is kept in any case.
  std::string savings(size_t l, int64_t now) const {
    const int64_t trips = program_.loops[l].trips;
    size_t derivative = program_.instances.size();
    for (const auto& [_, k] : kept_[l]) {
      for (size_t r : k.by) derivative = std::min(derivative, static_cast<size_t>(program_.loops[r].begin));
    }
    int64_t carries = 0, values = 0, others = 0;
    for (const auto& [_, k] : kept_[l]) {
      if (!k.read()) continue;
      const bool in_any_case = k.outside && *k.outside < derivative;
      if (in_any_case) others += k.trip_bytes;
      if (k.carried) carries += k.trip_bytes;
      else if (!in_any_case) values += k.trip_bytes;
    }
    if (values == 0 || carries == 0) return "";
    auto left = [&](int64_t every) { return (trips + every - 1) / every * carries + every * (carries + values) + others * trips; };
    int64_t best = 1;
    for (int64_t every = 2; every <= trips; ++every) {
      if (left(every) < left(best)) best = every;
    }
    std::string out = fmt::format("  'recompute' would keep the carries alone, {}", human(carries * trips));
    if (best > 1 && left(best) < now) out += fmt::format("; 'recompute every {}' about {} at a time", best, human(left(best)));
    return out + "\n";
  }

  const KernelProgram& program_;
  std::vector<std::map<size_t, Kept>> kept_;  // by loop: by buffer
};

}  // namespace

std::string memory_text(const KernelProgram& program) {
  std::string out = fmt::format("arena {} ({} live at once)", human(program.arena_bytes), human(program.arena_lower_bound));
  if (program.local_bytes > 0) out += fmt::format(", and {} in each thread for what is local to a trip", human(program.local_bytes));
  out += fmt::format("\n\n{:<40} {:<10} {:>12} {:>12}{}\n", "buffer", "kind", "bytes", "offset", program.loops.empty() ? "" : "  by trip");
  constexpr const char* kinds[] = {"input", "parameter", "state", "output", "temporary", "local", "shadow"};
  const std::vector<std::string> moves = moves_of(program);
  for (size_t i = 0; i < program.buffers.size(); ++i) {
    const Buffer& b = program.buffers[i];
    const bool placed = b.kind == BufferKind::Temporary || b.kind == BufferKind::Local;
    std::string offset = placed ? fmt::to_string(b.offset) : "";
    out += fmt::format("{:<40} {:<10} {:>12} {:>12}{}\n", b.name, kinds[static_cast<size_t>(b.kind)], bytes_of(b.type), offset, moves[i].empty() ? "" : "  " + moves[i]);
  }
  return out + LoopMemory(program).text();
}

}  // namespace gradc::cli
