/* A C99 program's use of mica.h, compiled with all warnings as errors: the header is C, and a
 * caller that checks no pointer gets statuses and sentences. */
#include "tests/lib/api/c_caller.h"

#include <stdlib.h>
#include <string.h>

#include "lib/api/mica.h"

static int count_pieces(void* user, const char* text, size_t size, int32_t id) {
  (void)text;
  (void)size;
  (void)id;
  ++*(int*)user;
  return 1;
}

static const char* converse(mica_session* session, mica_error* error) {
  mica_generate_options options;
  mica_text json = {0};
  int pieces = 0;
  mica_generate_options_init(&options);
  options.max_tokens = 3;
  options.ignore_eos = 1;
  if (mica_generate(session, "abc", 3, MICA_PLAIN, &options, count_pieces, &pieces, &json, error)) {
    return "generation failed";
  }
  if (pieces < 3 || strlen(json.data) != json.size) return "generation gave no text";
  mica_text_free(&json);
  mica_text_free(&json);
  if (mica_generate(session, "abc", 3, 0, &options, NULL, NULL, NULL, NULL)) {
    return "generation without results failed";
  }
  if (mica_chat(session, "{", 1, &options, NULL, NULL, &json, error) != MICA_USAGE) {
    return "messages that are no JSON were not refused";
  }
  return NULL;
}

static const char* use_model(mica_model* model, mica_error* error) {
  mica_session* session = NULL;
  mica_ids ids = {0};
  mica_text text = {0};
  const char* failure;
  if (mica_tokenize(model, "hello", 5, 0, &ids, error)) return "text was not tokenized";
  if (mica_detokenize(model, ids.data, ids.size, 0, &text, error)) return "ids gave no text";
  if (strcmp(text.data, "hello") != 0) return "text did not come back";
  mica_ids_free(&ids);
  mica_text_free(&text);
  if (mica_session_create(model, NULL, &session, error)) return "no session was made";
  mica_model_free(model); /* the session keeps it */
  failure = converse(session, error);
  mica_session_free(session);
  return failure;
}

const char* use_mica_from_c(const char* path) {
  mica_error* error = mica_error_create();
  mica_engine* engine = NULL;
  mica_model* model = NULL;
  const char* failure;
  if (mica_engine_create(NULL, NULL, error) != MICA_USAGE) return "a NULL result was not refused";
  if (strstr(mica_error_message(error), "engine") == NULL) return "the argument was not named";
  if (mica_engine_create(NULL, &engine, error)) return "no engine was made";
  if (mica_error_status(error) != MICA_OK) return "the error was not cleared";
  if (mica_model_load(engine, path, NULL, &model, error)) return "the model was not loaded";
  mica_engine_free(engine); /* the model keeps it */
  failure = use_model(model, error);
  mica_error_free(error);
  return failure;
}
