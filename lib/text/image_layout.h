// The bytes of a tokenizer image, shared by its builder and its reader. lib/text/README.md is the
// normative description; the sums here are its offsets.
//
// All numbers are little-endian and may be read at any alignment of the image itself.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mica::image {

static_assert(std::endian::native == std::endian::little, "the image is read without conversion");

constexpr char kMagic[8] = {'M', 'I', 'C', 'A', 'T', 'O', 'K', '\n'};
constexpr uint32_t kVersion = 1;           // of images that need no tail
constexpr uint32_t kVersionWithTail = 2;   // a Tail stands behind the header
constexpr uint32_t kNone = 0xffffffff;     // no token
constexpr uint32_t kMaxTokens = 1u << 28;  // ids fit TokenId, and tables 32-bit offsets
constexpr uint32_t kMaxProbes = 1024;      // longest walk in a hash table
constexpr uint32_t kMaxComponents = 64;    // normalizers, splits and decoders together
constexpr uint32_t kMaxAffixTokens = 64;   // what a post-processor adds on one side

// The last two need the tail.
enum class ModelKind : uint32_t { kByteLevelBpe = 1, kBpe = 2, kUnigram = 3 };

enum ModelFlag : uint32_t {
  kIgnoreMerges = 1,       // a piece that is a token of the model is that token
  kFuseUnknown = 2,        // neighbouring bytes without a token become one unknown token
  kSentencePieceSums = 4,  // unigram: scores are summed in single precision, unknown runs are not
                           // looked up as a whole
  kPlainTextTokens = 8,    // some added token has kInPlainText
};

enum TokenFlag : uint8_t {
  kPresent = 1,    // the id is used
  kInModel = 2,    // by the model's own vocabulary
  kAdded = 4,      // by an added token
  kSpecial = 8,    // left out when decoding skips special tokens
  kVerbatim = 16,  // spelled as its bytes; otherwise each byte is spelled as GPT-2's character
};

enum AddedFlag : uint32_t {
  kSingleWord = 1,
  kStripLeft = 2,
  kStripRight = 4,
  kInPlainText = 8,  // nothing but white space: matched in plain spans too
};

enum class ComponentKind : uint32_t {
  kNfc = 1,            // normalizers: 1..15
  kPrepend = 2,        // text: what is put before
  kReplaceString = 3,  // text: pattern_bytes of the string, then what replaces it
  kReplaceRegex = 4,   // the same with a pattern
  kStrip = 5,
  kPrecompiled = 6,    // text: a precompiled charsmap, as tokenizers applies it
  kSentencePiece = 7,  // text: a precompiled charsmap or nothing, as SentencePiece applies it
  kSplitRegex = 16,    // pre-tokenizers: 16..63; text is the pattern
  kSplitString = 17,   // text is the string
  kDigits = 18,
  kByteLevelSplit = 19,
  kMetaspaceSplit = 20,  // text: the character for a space
  kWordSplit = 21,       // words and runs of other characters; white space is left out
  kWhiteSpaceSplit = 22,
  kPunctuation = 23,
  kBeforeRuns = 24,       // cuts before each run of the character that is the text
  kByteLevelDecode = 64,  // decoders: 64..
  kReplaceDecode = 65,    // text as in kReplaceString, in each token
  kMetaspaceDecode = 66,  // text: the character that becomes a space
  kByteFallbackDecode = 67,
  kStripDecode = 68,  // text: a character that is left out at the beginning; flags: how often
};

enum class SplitBehavior : uint32_t {
  kIsolated = 0,
  kRemoved = 1,
  kMergedWithPrevious = 2,
  kMergedWithNext = 3,
  kContiguous = 4,
};

enum ComponentFlag : uint32_t {
  kInvert = 1,          // split: what does not match is the delimiter
  kAddPrefixSpace = 2,  // byte-level and metaspace split, SentencePiece: a piece begins with a
                        // space; metaspace decoder: the first token's is left out
  kAtStartOnly = 4,     // metaspace split: only where the text begins
  kCut = 8,             // metaspace split: every space begins a piece
  kTrimLeft = 16,       // strip
  kTrimRight = 32,
  kRemoveExtraSpaces = 64,  // SentencePiece
};

enum class Section : uint32_t {
  kTokenOffsets,     // u32[token_count + 1] into kTokenBytes, ascending
  kTokenFlags,       // u8[token_count]
  kTokenBytes,       // what the tokens decode to
  kSpellings,        // SpellingSlot[], open addressing
  kMerges,           // MergeSlot[], open addressing
  kAddedRaw,         // AddedEntry[] matched in the text as given, sorted by spelling
  kAddedNormalized,  // AddedEntry[] matched in the normalized text, sorted by spelling
  kComponents,       // Component[]: normalizers, pre-tokenizers, decoders, each in order
  kText,             // spellings of added entries, patterns of components
  kPrefix,           // u32[] token ids that the post-processor puts first
  kSuffix,           // u32[] token ids that the post-processor puts last
  kTrie,             // u32[] double array of what the unigram model matches, see double_array.h
  kScores,           // f64[token_count] of the unigram model
  kCount,
};
constexpr uint32_t kSections = static_cast<uint32_t>(Section::kCount);
constexpr uint32_t kTailSections = 2;  // the last ones
constexpr uint32_t kHeaderSections = kSections - kTailSections;

struct SectionRange {
  uint64_t offset;  // from the image's first byte, a multiple of 8
  uint64_t bytes;
};

struct Header {
  char magic[8];                           //    0
  uint32_t version;                        //    8
  uint32_t header_bytes;                   //   12
  uint64_t image_bytes;                    //   16
  uint32_t model;                          //   24  ModelKind
  uint32_t model_flags;                    //   28  ModelFlag
  uint32_t token_count;                    //   32  greatest id + 1
  uint32_t unknown_token;                  //   36  id or kNone
  uint32_t probe_limit;                    //   40  slots to look at before a key is not there
  uint32_t zero;                           //   44
  SectionRange sections[kHeaderSections];  //   48  11 * 16
  uint8_t added_first_raw[32];         //  224  bit b: some entry of kAddedRaw begins with byte b
  uint8_t added_first_normalized[32];  //  256
  uint32_t byte_tokens[256];           //  288  the token of each single byte, or kNone
};
static_assert(sizeof(Header) == 48 + 11 * 16 + 2 * 32 + 256 * 4);

// Behind the header of version 2.
struct Tail {
  SectionRange sections[kTailSections];  // 1312  2 * 16
  double unknown_score;  // 1344  of a character that no token of the unigram model is
};
static_assert(sizeof(Tail) == 2 * 16 + 8);

struct SpellingSlot {
  uint32_t tag;  // low half of the hash
  uint32_t id;   // kNone: free
};
static_assert(sizeof(SpellingSlot) == 8);

struct MergeSlot {
  uint32_t left, right;  // the pair
  uint32_t rank;         // the least rank is merged first
  uint32_t id;           // what it becomes; kNone: free
};
static_assert(sizeof(MergeSlot) == 16);

struct AddedEntry {
  uint32_t text_offset, text_bytes;  // in kText
  uint32_t id;
  uint32_t flags;  // AddedFlag
};
static_assert(sizeof(AddedEntry) == 16);

struct Component {
  uint32_t kind;                     // ComponentKind
  uint32_t behavior;                 // SplitBehavior
  uint32_t flags;                    // ComponentFlag
  uint32_t pattern_bytes;            // of the text, where a replacement follows
  uint32_t text_offset, text_bytes;  // in kText
};
static_assert(sizeof(Component) == 24);

// The home slot of a hash: its high half scaled to the capacity.
inline uint64_t home_slot(uint64_t hash, uint64_t capacity) {
  return ((hash >> 32) * capacity) >> 32;
}

inline uint64_t hash_pair(uint32_t left, uint32_t right) {
  uint64_t hash = (uint64_t{left} << 32 | right) * 0x9e3779b97f4a7c15u;
  hash ^= hash >> 32;
  return hash * 0xd6e8feb86659fd93u;
}

uint64_t hash_spelling(std::string_view bytes);  // XXH3-64

}  // namespace mica::image
