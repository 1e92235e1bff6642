/* onednn.c - oneDNN behind the provider interface.
 * SPDX-License-Identifier: Apache-2.0 */
typedef int swg__no_provider;
