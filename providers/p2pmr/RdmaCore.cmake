# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
# The private headers of the installed rdma-core, out of the source of exactly its
# version: the target p2pmr_rdma_core. They are in no package that one could depend
# on, and the version in the provider's file name does not tell them apart.

find_package(PkgConfig REQUIRED)
pkg_check_modules(IBVERBS REQUIRED libibverbs)
pkg_get_variable(ibverbs_libdir libibverbs libdir)
find_package(Python3 REQUIRED COMPONENTS Interpreter)

# 1.14.56.1 is rdma-core 56.1.
string(REGEX REPLACE "^[0-9]+\\.[0-9]+\\." "" installed_version "${IBVERBS_VERSION}")

if(NOT P2PMR_RDMA_CORE_SRC)
  file(GLOB found /usr/src/rdma-core-${installed_version})
endif()
set(P2PMR_RDMA_CORE_SRC "${found}" CACHE PATH
  "Unpacked source of the installed rdma-core")

if(NOT EXISTS "${P2PMR_RDMA_CORE_SRC}/libibverbs/driver.h")
  message(FATAL_ERROR
    "No source of rdma-core ${installed_version} in '${P2PMR_RDMA_CORE_SRC}'. Unpack it "
    "in /usr/src (Debian: apt-get source --download-only rdma-core), name its folder with "
    "-DP2PMR_RDMA_CORE_SRC=..., or leave the provider out with "
    "-DP2PMR_BUILD_PROVIDER=OFF.")
endif()

# What a variable of rdma-core's own build is set to.
function(read_setting name result)
  file(STRINGS "${P2PMR_RDMA_CORE_SRC}/CMakeLists.txt" line
    REGEX "^set\\(${name} \"[0-9.]+\"\\)$")
  string(REGEX REPLACE ".*\"([0-9.]+)\".*" "\\1" value "${line}")
  if(value STREQUAL "")
    message(FATAL_ERROR "No ${name} in ${P2PMR_RDMA_CORE_SRC}/CMakeLists.txt")
  endif()
  set(${result} "${value}" PARENT_SCOPE)
endfunction()

read_setting(PACKAGE_VERSION source_version)
read_setting(IBVERBS_PABI_VERSION pabi_version)
if(NOT source_version VERSION_EQUAL installed_version)
  message(FATAL_ERROR
    "libibverbs is of rdma-core ${installed_version}, the source in "
    "${P2PMR_RDMA_CORE_SRC} is ${source_version}. A provider fits one version only.")
endif()

# Where its own build would put them.
set(headers ${CMAKE_CURRENT_BINARY_DIR}/rdma-core)
file(COPY
  ${P2PMR_RDMA_CORE_SRC}/libibverbs/driver.h
  ${P2PMR_RDMA_CORE_SRC}/libibverbs/kern-abi.h
  ${P2PMR_RDMA_CORE_SRC}/libibverbs/cmd_ioctl.h
  DESTINATION ${headers}/infiniband)
file(COPY ${P2PMR_RDMA_CORE_SRC}/ccan ${P2PMR_RDMA_CORE_SRC}/util
  DESTINATION ${headers} FILES_MATCHING PATTERN "*.h" PATTERN tests EXCLUDE)
file(COPY ${P2PMR_RDMA_CORE_SRC}/kernel-headers/rdma
  DESTINATION ${headers} FILES_MATCHING PATTERN "*.h")
file(MAKE_DIRECTORY ${headers}/kernel-abi)
foreach(abi
    ${P2PMR_RDMA_CORE_SRC}/kernel-headers/rdma/ib_user_verbs.h
    ${P2PMR_RDMA_CORE_SRC}/kernel-headers/rdma/rdma_user_rxe.h
    ${PROJECT_SOURCE_DIR}/kernel-headers/rdma/p2pmr-verbs-abi.h)
  get_filename_component(name ${abi} NAME)
  execute_process(COMMAND ${Python3_EXECUTABLE}
    ${P2PMR_RDMA_CORE_SRC}/buildlib/make_abi_structs.py ${abi}
    ${headers}/kernel-abi/${name} COMMAND_ERROR_IS_FATAL ANY)
endforeach()
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/kernel-headers/rdma/p2pmr-verbs-abi.h)
# As much of its configuration as those headers ask for.
file(CONFIGURE OUTPUT ${headers}/config.h CONTENT
"#define HAVE_STATEMENT_EXPR 1
#define HAVE_BUILTIN_TYPES_COMPATIBLE_P 1
#define HAVE_TYPEOF 1
#define HAVE_ISBLANK 1
#define HAVE_FUNC_ATTRIBUTE_ALWAYS_INLINE 1
#define IBVERBS_PABI_VERSION ${pabi_version}
#define P2PMR_IBVERBS_VERSION \"${IBVERBS_VERSION}\"
")

add_library(p2pmr_rdma_core INTERFACE)
target_include_directories(p2pmr_rdma_core SYSTEM INTERFACE ${headers})
target_link_libraries(p2pmr_rdma_core INTERFACE ${IBVERBS_LINK_LIBRARIES})
if(source_version VERSION_GREATER_EQUAL 54)
  target_compile_definitions(p2pmr_rdma_core INTERFACE P2PMR_DMABUF_HAS_DRIVER_PART)
endif()
