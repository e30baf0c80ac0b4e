// An image's place in the API: its name keeps its slashes.

export function imagePath(name: string): string {
  return `/images/${name.split("/").map(encodeURIComponent).join("/")}`;
}
