/* The C side of the interface's tests. */
#ifndef MICA_TESTS_C_CALLER_H
#define MICA_TESTS_C_CALLER_H

#ifdef __cplusplus
extern "C" {
#endif

/* Loads the model of `path` and generates with it; NULL, or what went wrong. */
const char* use_mica_from_c(const char* path);

#ifdef __cplusplus
}
#endif

#endif
