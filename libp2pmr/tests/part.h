/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The names of tests that run on the library and on its sanitized sources. */
#ifndef LIBP2PMR_TESTS_PART_H
#define LIBP2PMR_TESTS_PART_H

#ifdef SANITIZED
#define SUFFIX	     "_asan"
#define IS_SANITIZED 1
#else
#define SUFFIX	     ""
#define IS_SANITIZED 0
#endif

#define LIB_TEST(name)	  "lib" SUFFIX "/" name
#define COPY_TEST(name)	  "copy" SUFFIX "/" name
#define DMABUF_TEST(name) "dmabuf" SUFFIX "/" name

#endif
