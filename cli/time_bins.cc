#include "twostep/cli/time_bins.h"

#include <algorithm>
#include <utility>

namespace twostep {

using Json = nlohmann::ordered_json;

TimeBins::TimeBins(std::vector<BinnedSeries> series, size_t most_bins)
    : series_(std::move(series)), most_bins_(most_bins) {}

void TimeBins::Extend(BinnedSeries series) {
  series_.push_back(std::move(series));
  for (Bin& bin : bins_) bin.spreads.emplace_back();
}

void TimeBins::Append(const Bin& later, Bin* bin) {
  for (size_t i = 0; i < bin->spreads.size(); ++i) {
    const Spread& from = later.spreads[i];
    Spread& to = bin->spreads[i];
    to.least = std::min(to.least, from.least);
    to.most = std::max(to.most, from.most);
    to.last = from.last;
  }
  bin->to_ns = later.to_ns;
  bin->frame = later.frame;
  bin->samples += later.samples;
}

void TimeBins::Halve() {
  for (size_t i = 0; i < bins_.size() / 2; ++i) {
    Bin bin = std::move(bins_[2 * i]);
    Append(bins_[2 * i + 1], &bin);
    bins_[i] = std::move(bin);
  }
  bins_.resize(bins_.size() / 2);
  samples_per_bin_ *= 2;
}

void TimeBins::Add(uint64_t time_ns, uint64_t frame,
                   absl::Span<const uint64_t> values) {
  Bin sample{
      .from_ns = time_ns, .to_ns = time_ns, .frame = frame, .samples = 1};
  for (const uint64_t value : values) {
    sample.spreads.push_back({value, value, value});
  }
  ++samples_;
  const bool full = bins_.empty() || bins_.back().samples == samples_per_bin_;
  if (full && bins_.size() == most_bins_) Halve();
  if (full) {
    bins_.push_back(std::move(sample));
  } else {
    Append(sample, &bins_.back());
  }
}

Json TimeBins::SeriesJson(size_t at) const {
  const BinnedSeries& series = series_[at];
  Json json = {
      {"group", series.group}, {"name", series.name}, {"unit", series.unit}};
  if (series.capacity != 0) json["capacity"] = series.capacity;
  Json last = Json::array();
  Json least = Json::array();
  Json most = Json::array();
  for (const Bin& bin : bins_) {
    last.push_back(bin.spreads[at].last);
    least.push_back(bin.spreads[at].least);
    most.push_back(bin.spreads[at].most);
  }
  json["last"] = std::move(last);
  if (!series.counter && samples_per_bin_ > 1) {
    json["min"] = std::move(least);
    json["max"] = std::move(most);
  }
  return json;
}

Json TimeBins::ToJson() const {
  Json from = Json::array();
  Json to = Json::array();
  Json frames = Json::array();
  for (const Bin& bin : bins_) {
    from.push_back(bin.from_ns);
    to.push_back(bin.to_ns);
    frames.push_back(bin.frame);
  }
  Json series = Json::array();
  for (size_t i = 0; i < series_.size(); ++i) series.push_back(SeriesJson(i));
  return {{"samples", samples_},        {"samples_per_bin", samples_per_bin_},
          {"from_ns", std::move(from)}, {"to_ns", std::move(to)},
          {"frame", std::move(frames)}, {"series", std::move(series)}};
}

}  // namespace twostep
