/* Mica's C interface. PROVISIONAL until the interface is frozen: names may still change.
 *
 * Conventions
 *   Every call that can fail returns a mica_status and takes a mica_error* last, which may be NULL;
 * it receives one full sentence. Nothing aborts, exits or throws across this border. Text is UTF-8,
 * given as pointer and length. Text and ids handed out are owned by the caller and freed with
 * mica_text_free / mica_ids_free; what a result pointer points to is overwritten, with zeros when
 * the call fails. Result pointers must not be NULL but for the json of mica_generate, mica_chat and
 * mica_convert. Options are structs that begin with their size: set them up with their *_init
 * function; NULL stands for the defaults. Handles may be freed in any order, and NULL may be freed:
 * a session keeps its model alive, a model its engine. An engine and a model may be used from
 * several threads; a session and an error from one at a time, but for mica_session_cancel. JSON
 * results have the keys of the program's --json output.
 *   Callbacks run on the thread of the call that makes them, with no lock held. They may make any
 * call but these: one with a session that a running call works on (mica_session_cancel excepted),
 * one with that call's error, and freeing either. They must return; a C++ exception becomes
 * MICA_RUNTIME.
 */
#ifndef MICA_H
#define MICA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum mica_status {
  MICA_OK = 0,
  MICA_RUNTIME = 1,
  MICA_USAGE = 2,
  MICA_INVALID_FILE = 3,
  MICA_DOES_NOT_FIT = 4,
  MICA_UNSUPPORTED = 5,
  MICA_VERIFICATION = 6,
  MICA_INTERRUPTED = 130
} mica_status;

typedef struct mica_error mica_error;
typedef struct mica_engine mica_engine;
typedef struct mica_model mica_model;
typedef struct mica_session mica_session;

typedef struct mica_text {
  char* data; /* size bytes and one NUL behind them */
  size_t size;
} mica_text;

typedef struct mica_ids {
  int32_t* data;
  size_t size;
} mica_ids;

const char* mica_version(void);

/* ---- errors -------------------------------------------------------------------------------- */
mica_error* mica_error_create(void); /* NULL when memory is exhausted */
void mica_error_free(mica_error* error);
mica_status mica_error_status(const mica_error* error);
const char* mica_error_message(const mica_error* error); /* lives until the error's next use */

void mica_text_free(mica_text* text);
void mica_ids_free(mica_ids* ids);

/* ---- engine -------------------------------------------------------------------------------- */
typedef enum mica_log_level { MICA_LOG_DEBUG, MICA_LOG_INFO, MICA_LOG_WARNING } mica_log_level;
/* Called from any thread that makes a call with the engine, or a model or session made with it,
 * until all of these are freed: callback and `user` must live as long. */
typedef void (*mica_log_callback)(void* user, mica_log_level level, const char* text, size_t size);
/* Progress of long work; a return of 0 asks it to stop with MICA_INTERRUPTED. */
typedef int (*mica_progress_callback)(void* user, uint64_t done, uint64_t total);

typedef struct mica_engine_options {
  size_t struct_size;
  int32_t threads;         /* 0: chosen from affinity, cgroup quota, Slurm and cores */
  const char* isa;         /* NULL or "auto"; a name that mica_doctor lists */
  const char* activations; /* NULL or "int8"; "f32" */
  mica_log_callback log;   /* NULL: silent */
  void* log_user;
  const char* device; /* NULL or "auto": whatever devices there are; "cpu": none; "cuda" */
} mica_engine_options;

void mica_engine_options_init(mica_engine_options* options);
mica_status mica_engine_create(const mica_engine_options* options, mica_engine** engine,
                               mica_error* error);
void mica_engine_free(mica_engine* engine);
/* Facts about this machine and what an engine with these options would use. */
mica_status mica_doctor(const mica_engine_options* options, mica_text* json, mica_error* error);

/* ---- model --------------------------------------------------------------------------------- */
typedef struct mica_model_options {
  size_t struct_size;
  const char* load; /* NULL or "map"; "read" */
  int32_t verify;   /* not 0: check all checksums first */
  /* What memory is planned for, as mica_plan foretells it; on engines with devices. */
  uint64_t gpu_memory;   /* of each device at most; 0: what is free */
  int64_t gpu_layers;    /* exactly so many on devices, or all; -1: chosen */
  uint64_t host_memory;  /* at most; 0: what is available */
  int64_t context;       /* positions; 0: as mica_session_options has it; -1: that, or fewer */
  const char* kv;        /* as in mica_session_options; "auto": f16, or int8 where it is needed */
  int32_t prefill_chunk; /* tokens a step; 0: chosen, 512 at most */
} mica_model_options;

/* gpu_layers -1, all else 0. */
void mica_model_options_init(mica_model_options* options);
mica_status mica_model_load(mica_engine* engine, const char* path,
                            const mica_model_options* options, mica_model** model,
                            mica_error* error);
void mica_model_free(mica_model* model);
/* Architecture, shapes, special tokens, generation defaults, chat template and its source. */
mica_status mica_model_info(const mica_model* model, mica_text* json, mica_error* error);

enum {
  MICA_PLAIN = 1,     /* added tokens' spellings are plain text */
  MICA_NO_SPECIAL = 2 /* add no special tokens / leave them out of the text */
};
mica_status mica_tokenize(const mica_model* model, const char* text, size_t size, uint32_t flags,
                          mica_ids* ids, mica_error* error);
mica_status mica_detokenize(const mica_model* model, const int32_t* ids, size_t count,
                            uint32_t flags, mica_text* text, mica_error* error);
/* `messages`: a JSON array of {"role", "content", ...}; the text a chat model is given. */
mica_status mica_render_chat(const mica_model* model, const char* messages, size_t size,
                             mica_text* text, mica_error* error);

typedef struct mica_plan_options {
  size_t struct_size;
  mica_model_options model;    /* load and what memory is planned for; its own size set too */
  const char* quant;           /* what the source would be converted to, as in
                                  mica_convert_options; of a synthetic model its type */
  const char* embedding_quant; /* likewise */
  const char* synthetic;       /* in place of a file a known shape: "1b", "3b", "7b", "8b", "13b",
                                  "70b" */
  int32_t default_rates;       /* not 0: predict by default rates of the host, measure nothing */
} mica_plan_options;

void mica_plan_options_init(mica_plan_options* options);
/* What goes where in memory, to the byte, before anything is loaded; `path` is a .mica file, a
 * source that mica_convert takes, or NULL for a synthetic model. On a machine without a device
 * gpu_memory stands for an imaginary one of that size. MICA_OK also where it does not fit.
 * json: fits, deficit_bytes, devices, layers, concessions, would_fit, predicted, rates, model,
 * context, kv, prefill_chunk, streaming, needed_bytes, rule_of_thumb_bytes. */
mica_status mica_plan(const mica_engine_options* engine, const char* path,
                      const mica_plan_options* options, mica_text* json, mica_error* error);

/* ---- sessions ------------------------------------------------------------------------------ */
typedef struct mica_session_options {
  size_t struct_size;
  /* 0, NULL and "auto": what the model's memory was planned for (mica_model_options) */
  int64_t context;           /* positions; 0: the model's for short texts, 8192 at most */
  const char* kv;            /* NULL or "auto": "f16"; "bf16", "int8", "f32" */
  int32_t prefill_chunk;     /* tokens a step; 0: 512 */
  const char* chat_template; /* NULL: the model's */
} mica_session_options;

void mica_session_options_init(mica_session_options* options);
mica_status mica_session_create(mica_model* model, const mica_session_options* options,
                                mica_session** session, mica_error* error);
void mica_session_free(mica_session* session);
/* Stops a running generation from any thread, within one step. Does nothing to a later one. */
void mica_session_cancel(mica_session* session);

/* NaN (floats) and negative numbers (integers) mean: the model's generation default, then Mica's.
 */
typedef struct mica_generate_options {
  size_t struct_size;
  int64_t max_tokens;       /* negative: until the context is full */
  float temperature;        /* 0: greedy */
  int32_t top_k;            /* 0: off */
  float top_p;              /* 1: off */
  float min_p;              /* 0: off */
  float repetition_penalty; /* 1: off */
  float frequency_penalty;  /* 0: off */
  float presence_penalty;   /* 0: off */
  int64_t seed;             /* negative: from the system */
  const char* const* stop;  /* stop strings, NUL-terminated */
  size_t stop_count;
  const int32_t* bias_ids; /* added to logits */
  const float* bias_values;
  size_t bias_count;
  int32_t ignore_eos;
} mica_generate_options;

void mica_generate_options_init(mica_generate_options* options);

/* A piece of generated text: whole UTF-8 characters. A return of 0 stops the generation. */
typedef int (*mica_token_callback)(void* user, const char* text, size_t size, int32_t id);

/* Continues `prompt`; what the session already holds of it is not computed again.
 * json: text, tokens, prompt_tokens, finish_reason, timings. */
mica_status mica_generate(mica_session* session, const char* prompt, size_t size, uint32_t flags,
                          const mica_generate_options* options, mica_token_callback callback,
                          void* user, mica_text* json, mica_error* error);
/* The model's answer to a conversation, rendered with its chat template. */
mica_status mica_chat(mica_session* session, const char* messages, size_t size,
                      const mica_generate_options* options, mica_token_callback callback,
                      void* user, mica_text* json, mica_error* error);

/* ---- tools --------------------------------------------------------------------------------- */
typedef struct mica_convert_options {
  size_t struct_size;
  const char* quant;           /* NULL or "keep"; "q4g32", "q8g32", "f16", ... */
  const char* embedding_quant; /* NULL: as the defaults have it */
  int32_t dry_run;
  const char* to;       /* NULL or "mica": `output` is a file; "hf": a Hugging Face folder, new */
  uint64_t shard_bytes; /* of a weight file of the folder; 0: 5 GB */
  /* Calibration over this UTF-8 text; NULL: none, unless calibrate is set. Options that only
   * calibration heeds are refused without it; weight types and calibration with "hf". Until it is
   * done, finished layers are in `output`.calibration; of the progress only the share has a
   * meaning. */
  const char* calibration_text;
  size_t calibration_text_size;
  const char* calibration_name; /* of the text, for the report; NULL: "text" */
  int32_t calibrate;            /* without a text: 1 over the one that comes with Mica, 2 over
                                   tokens drawn by chance */
  const char* effort;           /* NULL or "full"; "search", "gptq" */
  int32_t awq;                  /* scale the channels of inputs */
  int64_t calibration_tokens;   /* at most; 0: 16384 */
  int32_t resume;               /* go on with an interrupted calibration to the same output */
  /* Lines "PATTERN TYPE" of tensor names and weight types; NULL: none. The name is for messages. */
  const char* recipe;
  size_t recipe_size;
  const char* recipe_name;
  double target_bits; /* bits a weight of the layers, types chosen by sensitivity, in place of
                         quant; 0: none */
} mica_convert_options;

void mica_convert_options_init(mica_convert_options* options);
/* json: output, bytes, bits_per_weight, substitutions, notes, tensors, calibration_tokens, held_out
 * (mean_kl, positions), seconds. */
mica_status mica_convert(mica_engine* engine, const char* source, const char* output,
                         const mica_convert_options* options, mica_progress_callback progress,
                         void* user, mica_text* json, mica_error* error);

typedef struct mica_perplexity_options {
  size_t struct_size;
  const char* text; /* may be NULL with kl_base */
  size_t text_size;
  int64_t context;          /* 0: 512 */
  int64_t windows;          /* of text, or lines of a task; 0: all */
  const char* kl_base;      /* read this base file, or NULL */
  const char* save_kl_base; /* write one, or NULL */
  const char* kv;           /* as in mica_session_options */
  /* NULL, or a model whose layers' outputs the model's are compared with */
  const mica_model* reference;
  /* NULL, or "lambada", "choices": text is JSON lines, {"text"} whose last word is to be found, or
   * {"context", "choices": [...], "answer": index}; with neither base file nor reference */
  const char* task;
} mica_perplexity_options;

void mica_perplexity_options_init(mica_perplexity_options* options);
/* json: perplexity, perplexity_se, windows, scored_tokens; with a base: kl, perplexity_ratio, ...;
 * with a reference: layers. Of a task: items, accuracy, accuracy_se; perplexity or accuracy_norm.
 */
mica_status mica_perplexity(mica_model* model, const mica_perplexity_options* options,
                            mica_progress_callback progress, void* user, mica_text* json,
                            mica_error* error);

typedef struct mica_numbers {
  const int64_t* values;
  size_t count;
} mica_numbers;

typedef struct mica_bench_options {
  size_t struct_size;
  mica_numbers threads; /* none: chosen as an engine would */
  mica_numbers prompts; /* tokens of a prefill; 0: none */
  mica_numbers depths;  /* tokens held before */
  mica_numbers batches; /* sequences decoded together */
  int64_t generated;    /* tokens of a decode; 0: no decode */
  int32_t repetitions;
  const char* kv;        /* as in mica_session_options */
  const char* load;      /* as in mica_model_options */
  const char* synthetic; /* in place of a file random weights of a known shape: "1b", "3b", "7b",
                            "8b", "13b", "70b" */
  const char* quant;     /* their type; NULL: "q4g32" */
  uint64_t gpu_memory;   /* as in mica_model_options; with layers on devices no shares are given */
  int64_t gpu_layers;
  uint64_t host_memory;
} mica_bench_options;

/* Prompts of 512 tokens, 128 generated, depth 0, batch 1, 5 repetitions. */
void mica_bench_options_init(mica_bench_options* options);
/* The result so far, besides "progress": {"doing", "done", "total"}. A return of 0 stops with
 * MICA_INTERRUPTED. */
typedef int (*mica_bench_callback)(void* user, const char* json, size_t size);
/* Rates beside the machine's limits, on engines with these options but for the threads; `path` is
 * NULL for a synthetic model, which lies in memory and takes no disk.
 * json: machine, model, limits, limits_by_threads, results. */
mica_status mica_bench(const mica_engine_options* engine, const char* path,
                       const mica_bench_options* options, mica_bench_callback callback, void* user,
                       mica_text* json, mica_error* error);

#ifdef __cplusplus
}
#endif

#endif /* MICA_H */
