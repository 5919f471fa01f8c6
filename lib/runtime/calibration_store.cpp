#include "lib/runtime/calibration_store.h"

#include <cstring>
#include <filesystem>

#include "lib/base/error.h"

namespace mica {
namespace {

constexpr std::string_view kMagic = "MICACAL1";
constexpr size_t kHeaderBytes = 8 + 16;      // magic, key
constexpr size_t kRecordHead = 8 + 16;       // bytes of the payload, its checksum
constexpr uint64_t kMostBytes = 1ull << 36;  // of a payload: more is damage

template <Plain T>
void put(std::string& out, const T& value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

std::string encode(const std::vector<CalibratedTensor>& tensors) {
  std::string out;
  put(out, uint64_t{tensors.size()});
  for (const CalibratedTensor& t : tensors) {
    put(out, t.role);
    put(out, t.nearest_error);
    put(out, t.output_error);
    put(out, t.relative_error);
    put(out, uint64_t{t.bytes.size()});
    out.append(as_text(t.bytes));
  }
  return out;
}

std::vector<CalibratedTensor> decode(const std::string& payload, const std::string& path) {
  ByteReader reader(as_bytes(payload), path);
  std::vector<CalibratedTensor> tensors;
  for (auto count = reader.read<uint64_t>(); count > 0; --count) {
    CalibratedTensor& t = tensors.emplace_back();
    t.role = reader.read<Role>();
    t.nearest_error = reader.read<double>();
    t.output_error = reader.read<double>();
    t.relative_error = reader.read<double>();
    const Bytes bytes = reader.read_bytes(reader.read<uint64_t>());
    t.bytes.assign(bytes.begin(), bytes.end());
  }
  return tensors;
}

// As much of the file's header as there is; nothing where there is no file.
std::string read_header(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string header(kHeaderBytes, '\0');
  file.read(header.data(), kHeaderBytes);
  header.resize(static_cast<size_t>(file.gcount()));
  return header;
}

}  // namespace

CalibrationStore::CalibrationStore(std::string path, const Hash128& key, bool resume)
    : path_(std::move(path)), key_(key) {
  const std::string found = read_header(path_);
  if (kMagic.substr(0, found.size()) != found.substr(0, kMagic.size())) {
    throw Error(ErrorCode::kUsage,
                path_ +
                    ": expected finished layers of a calibration or no such file, found other "
                    "bytes");
  }
  if (!resume || found.size() < kHeaderBytes) return;
  if (found.substr(kMagic.size()) != as_text(std::as_bytes(std::span(key_.bytes)))) {
    throw Error(ErrorCode::kUsage,
                path_ +
                    ": expected layers of the same source, text, types and options to resume, "
                    "found those of another conversion; without resume they are replaced");
  }
  reader_.open(path_, std::ios::binary);
  reader_.seekg(kHeaderBytes);
  valid_bytes_ = kHeaderBytes;
}

std::vector<CalibratedTensor> CalibrationStore::read_next() {
  if (!reader_.is_open()) return {};
  uint64_t size = 0;
  Hash128 expected;
  std::string payload;
  reader_.read(reinterpret_cast<char*>(&size), sizeof size);
  reader_.read(reinterpret_cast<char*>(expected.bytes.data()), sizeof expected.bytes);
  std::error_code ignored;
  const uint64_t whole = std::filesystem::file_size(path_, ignored);
  if (reader_ && size < kMostBytes && size <= whole) {
    payload.resize(size);
    reader_.read(payload.data(), static_cast<std::streamsize>(size));
    if (reader_ && hash128(as_bytes(payload)) == expected) {
      valid_bytes_ += kRecordHead + size;
      return decode(payload, path_);
    }
  }
  reader_.close();
  return {};
}

void CalibrationStore::append(const std::vector<CalibratedTensor>& tensors) {
  reader_.close();
  if (!writer_.is_open()) open_writer();
  const std::string payload = encode(tensors);
  std::string head;
  put(head, uint64_t{payload.size()});
  put(head, hash128(as_bytes(payload)).bytes);
  write(head);
  write(payload);
  valid_bytes_ += head.size() + payload.size();
}

bool CalibrationStore::has_layers() const {
  return valid_bytes_ > kHeaderBytes;
}

void CalibrationStore::open_writer() {
  if (valid_bytes_ > 0) {
    std::error_code error;
    std::filesystem::resize_file(path_, valid_bytes_, error);
    if (error) fail(error.message());
    writer_.open(path_, std::ios::binary | std::ios::app);
    return;
  }
  writer_.open(path_, std::ios::binary);
  std::string header(kMagic);
  header.append(as_text(std::as_bytes(std::span(key_.bytes))));
  write(header);
  valid_bytes_ = kHeaderBytes;
}

void CalibrationStore::write(const std::string& bytes) {
  writer_.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  writer_.flush();
  if (!writer_) fail(std::strerror(errno));
}

void CalibrationStore::fail(const std::string& reason) const {
  throw Error(ErrorCode::kRuntime, path_ + ": cannot write the finished layers: " + reason);
}

void CalibrationStore::remove() {
  writer_.close();
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

}  // namespace mica
