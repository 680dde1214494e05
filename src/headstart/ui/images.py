"""Images of data sets as responses."""

from starlette.responses import Response

from headstart.data.examples import Example, FileExample
from headstart.data.table_images import TableImage, parse_address
from headstart.data.thumbnails import jpeg, thumbnail
from headstart.errors import InputError
from headstart.ui.root_folder import RootFolder


def image_response(root_folder: RootFolder, location: str, longest_px: int) -> Response:
    """An image with no side longer than this, as a JPEG.

    Args:
        root_folder: the folder that it has to be in.
        location: of the file, or of the row of a table.
        longest_px: greatest side.

    Raises:
        InputError: it is outside the root, or not an image.
    """
    image = thumbnail(_image(root_folder, location), longest_px)
    if image is None:
        raise InputError("this file is not an image.")
    return Response(jpeg(image.pixels), media_type="image/jpeg")


def _image(root_folder: RootFolder, location: str) -> Example:
    """The image file at a location, or the image in a row of a table.

    Raises:
        InputError: it is outside the root.
    """
    address = parse_address(location)
    if address is None:
        return FileExample(str(root_folder.resolve(location)))
    return TableImage(address._replace(table=str(root_folder.resolve(address.table))))
