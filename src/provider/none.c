/* none.c - stands in for oneDNN where it is not built in.
 * SPDX-License-Identifier: Apache-2.0 */
typedef int swg__no_provider;
